"""Watches counts with the `websockets` package, an implementation of RFC 6455 that is not ours.

One JSON object a line on standard output: the edge's own messages as they came, and between them lines with the key
`client` for what happens to the connection (opened, refused, pinged, expected, closed). It ends when its standard
input does: asks for a pong, closes with 1000, and leaves with status 0 if every --expect was met. `client.mjs` is the
same program over another implementation.
"""

import argparse
import asyncio
import json
import sys
import threading

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode


def say(event, **details):
    print(json.dumps({"client": event, **details}), flush=True)


class Connection(ClientConnection):
    """Tells of the edge's pings, which the package answers by itself."""

    def process_event(self, event):
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            say("pinged")
        super().process_event(event)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="for example ws://127.0.0.1:3001/analytics")
    parser.add_argument("--id", action="append", required=True, help="a content id to watch; may be repeated")
    parser.add_argument("--organization")
    parser.add_argument("--client")
    parser.add_argument("--token")
    parser.add_argument("--token-by", choices=["subprotocol", "header"], default="subprotocol")
    parser.add_argument("--expect", action="append", default=[], help='{"contentId":…,"field":…,"value":…}; may be repeated')
    return parser.parse_args()


def open_with(options):
    """The two places for a token that both kinds of client have."""
    if options.token is None:
        return {}
    if options.token_by == "subprotocol":
        return {"subprotocols": ["bearer", options.token]}
    return {"additional_headers": {"Authorization": f"Bearer {options.token}"}}


def subscription(options):
    message = {"type": "subscribe", "contentIds": options.id}
    if options.organization is not None:
        message["organizationId"] = options.organization
    if options.client is not None:
        message["clientId"] = options.client
    return message


async def receive(socket, expected):
    """Prints every message until the connection ends; says `expected` once all expected values were seen."""
    async for text in socket:
        print(text, flush=True)
        message = json.loads(text)
        if message["type"] == "analytics_update" and expected:
            seen = {key: message[key] for key in ("contentId", "field", "value")}
            expected[:] = [value for value in expected if value != seen]
            if not expected:
                say("expected")
        if message["type"] == "pong":
            return


async def input_ended():
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def read():
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    # A daemon: it must not hold the process when the connection ends first.
    threading.Thread(target=read, daemon=True).start()
    await ended.wait()


async def watch(options):
    expected = [json.loads(text) for text in options.expect]
    # The environment's proxy settings are for the web, not for an edge that a test has just started.
    async with connect(options.url, create_connection=Connection, proxy=None, **open_with(options)) as socket:
        say("opened", subprotocol=socket.subprotocol, extensions=[each.name for each in socket.protocol.extensions])
        await socket.send(json.dumps(subscription(options)))
        receiving = asyncio.create_task(receive(socket, expected))
        ended = asyncio.create_task(input_ended())
        await asyncio.wait([receiving, ended], return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            await socket.send('{"type":"ping"}')
        await receiving
    say("closed", code=socket.close_code)
    return 0 if socket.close_code == 1000 and not expected else 1


def main():
    try:
        return asyncio.run(watch(arguments()))
    except InvalidStatus as refusal:
        say("refused", status=refusal.response.status_code)
    except ConnectionClosed as end:
        say("closed", code=end.rcvd.code if end.rcvd else 1006)
    except OSError as error:
        print(error, file=sys.stderr)
        say("closed", code=1006)
    return 1


if __name__ == "__main__":
    sys.exit(main())
