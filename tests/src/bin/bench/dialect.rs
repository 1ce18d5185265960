//! How each kind of server speaks with its subscribers. The rule: bytes in, meaning out. Nothing here touches a socket, and
//! whatever a server says that is neither understood nor expected is an error, never skipped.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::content_id;
use crate::update::Update;
use crate::wire;

/// A protocol within WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The edge's own. The floor and the servers on Node.js speak it too.
    Edge,
    /// What is published, as it is; whoever connects names in the path what it wants.
    Nchan,
    /// NATS's lines (<https://docs.nats.io/reference/reference-protocols/nats-protocol>): a stream, whose messages begin and
    /// end where they like within frames.
    Nats,
    /// Centrifugo's JSON (<https://centrifugal.dev/docs/transports/client_protocol>): lines within a frame.
    Centrifuge,
}

/// Whose counters are meant: those of a client of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) organization: String,
    pub(crate) client: String,
}

/// What a subscriber was told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) updates: Vec<Update>,
    /// Confirmations of subscriptions.
    pub(crate) confirmed: usize,
    /// How often it was asked, in the dialect, whether it is still there.
    pub(crate) asked: usize,
    /// Something that is no update.
    pub(crate) other: bool,
}

impl Dialect {
    /// The request that upgrades a connection of a subscriber to these ids.
    pub(crate) fn upgrade(self, host: SocketAddr, ids: &[u32]) -> Vec<u8> {
        let path = match self {
            Dialect::Edge => "/analytics".to_owned(),
            Dialect::Nchan => format!("/sub/{}", names(ids).collect::<Vec<_>>().join(",")),
            Dialect::Nats => "/".to_owned(),
            Dialect::Centrifuge => "/connection/websocket".to_owned(),
        };
        wire::upgrade_request(&path, host)
    }

    /// The frames that subscribe once the connection is upgraded.
    pub(crate) fn subscribe(self, ids: &[u32]) -> Vec<u8> {
        match self {
            Dialect::Edge => {
                let ids: Vec<String> = names(ids).collect();
                let message = serde_json::json!({ "type": "subscribe", "contentIds": ids });
                wire::masked(wire::TEXT, message.to_string().as_bytes())
            }
            Dialect::Nchan => Vec::new(),
            Dialect::Nats => {
                let mut lines = r#"CONNECT {"verbose":false,"pedantic":false,"protocol":1}"#.to_owned() + "\r\n";
                for id in ids {
                    // The same number for the same subject on every connection, so that all receive the same bytes.
                    lines += &format!("SUB {} {}\r\n", content_id(*id as usize), id + 1);
                }
                lines += "PING\r\n";
                wire::masked(wire::BINARY, lines.as_bytes())
            }
            Dialect::Centrifuge => {
                let mut commands = r#"{"id":1,"connect":{}}"#.to_owned();
                for (index, name) in names(ids).enumerate() {
                    commands += &format!("\n{{\"id\":{},\"subscribe\":{{\"channel\":\"{name}\"}}}}", index + 2);
                }
                wire::masked(wire::TEXT, commands.as_bytes())
            }
        }
    }

    /// The frame that subscribes to the ids of a client of an organization, which only the edge's own has.
    pub(crate) fn subscribe_within(scope: &Scope, ids: &[u32]) -> Vec<u8> {
        let ids: Vec<String> = names(ids).collect();
        let Scope { organization, client } = scope;
        let message = serde_json::json!({
            "type": "subscribe", "contentIds": ids, "organizationId": organization, "clientId": client,
        });
        wire::masked(wire::TEXT, message.to_string().as_bytes())
    }

    /// How many confirmations complete a subscription to so many ids.
    pub(crate) fn confirmations(self, ids: usize) -> usize {
        match self {
            Dialect::Edge | Dialect::Nats => 1,
            // The upgrade is answered once the subscription is in force.
            Dialect::Nchan => 0,
            Dialect::Centrifuge => ids,
        }
    }

    /// How long after its subscription a subscriber may still be greeted.
    pub(crate) fn greeted_within(self) -> Duration {
        match self {
            // It asks each new client after 2 s, whatever it is told, to know how far away it is.
            Dialect::Nats => Duration::from_secs(3),
            Dialect::Edge | Dialect::Nchan | Dialect::Centrifuge => Duration::ZERO,
        }
    }

    /// The frame that answers [`Heard::asked`].
    pub(crate) fn answer(self) -> Vec<u8> {
        match self {
            Dialect::Nats => wire::masked(wire::BINARY, b"PONG\r\n"),
            Dialect::Edge | Dialect::Nchan | Dialect::Centrifuge => wire::masked(wire::TEXT, b"{}"),
        }
    }

    /// Understands a message's payload, after what was left of the one before, and answers how much of it is done with.
    pub(crate) fn hear(self, payload: &[u8], heard: &mut Heard) -> Result<usize> {
        match self {
            Dialect::Edge => edge(payload, heard)?,
            Dialect::Nchan => heard.updates.push(Update::read(payload).with_context(|| told(payload))?),
            Dialect::Nats => return nats(payload, heard),
            Dialect::Centrifuge => payload.split(|byte| *byte == b'\n').try_for_each(|line| centrifuge(line, heard))?,
        }
        Ok(payload.len())
    }
}

fn names(ids: &[u32]) -> impl Iterator<Item = String> {
    ids.iter().map(|id| content_id(*id as usize))
}

fn told(message: &[u8]) -> String {
    format!("the server said {}", String::from_utf8_lossy(message))
}

fn edge(message: &[u8], heard: &mut Heard) -> Result<()> {
    if let Some(update) = Update::read(message) {
        heard.updates.push(update);
        return Ok(());
    }
    heard.other = true;
    heard.confirmed += usize::from(wire::is(message, "subscribed"));
    ensure!(!wire::is(message, "error"), told(message));
    Ok(())
}

fn nats(stream: &[u8], heard: &mut Heard) -> Result<usize> {
    let mut rest = stream;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (rest[..end].trim_ascii_end(), &rest[end + 1..]);
        if line.starts_with(b"MSG ") {
            let size = line.rsplit(|byte| *byte == b' ').next().and_then(|size| std::str::from_utf8(size).ok());
            let size: usize = size.and_then(|size| size.parse().ok()).with_context(|| told(line))?;
            // A line end follows the payload.
            let Some((payload, after)) = after.split_at_checked(size.saturating_add(2)) else { break };
            heard.updates.push(Update::read(payload).with_context(|| told(payload))?);
            rest = after;
            continue;
        }
        heard.other = true;
        match line.split(|byte| *byte == b' ').next() {
            Some(b"PING") => heard.asked += 1,
            Some(b"PONG") => heard.confirmed += 1,
            Some(b"INFO") => {}
            _ => bail!(told(line)),
        }
        rest = after;
    }
    Ok(stream.len() - rest.len())
}

/// What stands before the channel's name in a push, and between it and what was published.
const PUSH: &[u8] = br#"{"push":{"channel":""#;
const DATA: &[u8] = br#"","pub":{"data":"#;

fn centrifuge(line: &[u8], heard: &mut Heard) -> Result<()> {
    let published = line.strip_prefix(PUSH).and_then(|rest| {
        // A name holds no quotation mark.
        let name = rest.iter().position(|byte| *byte == b'"')?;
        rest[name..].strip_prefix(DATA)
    });
    if let Some(published) = published {
        heard.updates.push(Update::read(published).with_context(|| told(line))?);
        return Ok(());
    }
    heard.other = true;
    match line {
        b"{}" => heard.asked += 1,
        _ if wire::contains(line, br#""error":"#) => bail!(told(line)),
        _ if wire::contains(line, br#""subscribe":{"#) => heard.confirmed += 1,
        _ if wire::contains(line, br#""connect":{"#) => {}
        _ => bail!(told(line)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::Writer;

    const FIRST: Update = Update { id: 3, value: 7 };
    const SECOND: Update = Update { id: 12, value: 8 };

    fn json(update: Update) -> String {
        let mut json = Vec::new();
        Writer::new().expect("a clock").append(&mut json, update).expect("a valid id");
        String::from_utf8(json).expect("JSON is text")
    }

    fn hear(dialect: Dialect, payload: &str) -> (Heard, usize) {
        let mut heard = Heard::default();
        let done = dialect.hear(payload.as_bytes(), &mut heard).expect("it is understood");
        (heard, done)
    }

    fn refused(dialect: Dialect, payload: &str) -> bool {
        dialect.hear(payload.as_bytes(), &mut Heard::default()).is_err()
    }

    /// The payload of a masked frame of less than 64 KiB.
    fn unmask(frame: &[u8]) -> String {
        let at = if frame[1] & 0x7F == 126 { 4 } else { 2 };
        let (mask, payload) = frame[at..].split_at(4);
        let plain = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        String::from_utf8(plain).expect("text")
    }

    #[test]
    fn the_edge_confirms_with_subscribed_and_tells_one_update_a_message() {
        assert_eq!(hear(Dialect::Edge, &json(FIRST)).0, Heard { updates: vec![FIRST], ..Heard::default() });
        let subscribed = r#"{"type":"subscribed","contentIds":["a"],"timestamp":1}"#;
        assert_eq!(hear(Dialect::Edge, subscribed).0, Heard { confirmed: 1, other: true, ..Heard::default() });
        let connected = r#"{"type":"connected","clientId":"c","timestamp":1,"base":1}"#;
        assert_eq!(hear(Dialect::Edge, connected).0, Heard { other: true, ..Heard::default() });
        assert!(refused(Dialect::Edge, r#"{"type":"error","error":"no","code":"forbidden"}"#));
        assert!(unmask(&Dialect::Edge.subscribe(&[0, 1])).contains("subscribe"));
    }

    #[test]
    fn nchan_subscribes_by_its_path_and_tells_what_was_published() {
        let host = SocketAddr::from(([127, 0, 0, 1], 80));
        let request = String::from_utf8(Dialect::Nchan.upgrade(host, &[1, 2])).expect("text");
        let path = format!("GET /sub/{},{} HTTP/1.1\r\n", content_id(1), content_id(2));
        assert!(request.starts_with(&path), "{request}");
        assert!(Dialect::Nchan.subscribe(&[1]).is_empty());
        assert_eq!(Dialect::Nchan.confirmations(2), 0);
        assert_eq!(hear(Dialect::Nchan, &json(FIRST)).0, Heard { updates: vec![FIRST], ..Heard::default() });
        assert!(refused(Dialect::Nchan, "hello"));
    }

    #[test]
    fn nats_is_a_stream_that_may_be_cut_anywhere() {
        let message = |update| {
            let json = json(update);
            format!("MSG {} {} {}\r\n{json}\r\n", content_id(update.id as usize), update.id + 1, json.len())
        };
        let head = "INFO {\"server_id\":\"x\"}\r\nPONG\r\nPING\r\n";
        let stream = format!("{head}{}{}", message(FIRST), message(SECOND));
        let whole = hear(Dialect::Nats, &stream);
        let expected = Heard { updates: vec![FIRST, SECOND], confirmed: 1, asked: 1, other: true };
        assert_eq!(whole, (expected, stream.len()));
        for cut in 0..=stream.len() {
            let (mut heard, done) = hear(Dialect::Nats, &stream[..cut]);
            let rest = &stream[done..];
            let all = Dialect::Nats.hear(rest.as_bytes(), &mut heard).expect("it is understood");
            assert_eq!((&heard, all), (&whole.0, rest.len()), "cut at {cut}");
        }
        assert!(refused(Dialect::Nats, "-ERR 'Slow Consumer'\r\n"));
    }

    #[test]
    fn nats_subscribes_each_id_and_then_asks_for_a_sign() {
        let lines = unmask(&Dialect::Nats.subscribe(&[0, 4]));
        let expected = format!("SUB {} 1\r\nSUB {} 5\r\nPING\r\n", content_id(0), content_id(4));
        assert!(lines.starts_with("CONNECT {") && lines.ends_with(&expected), "{lines}");
        assert_eq!(unmask(&Dialect::Nats.answer()), "PONG\r\n");
    }

    #[test]
    fn centrifuge_tells_lines_and_confirms_each_id() {
        let push = |update: Update| {
            format!(
                r#"{{"push":{{"channel":"{}","pub":{{"data":{}}}}}}}"#,
                content_id(update.id as usize),
                json(update)
            )
        };
        let (heard, _) = hear(Dialect::Centrifuge, &format!("{}\n{}", push(FIRST), push(SECOND)));
        assert_eq!(heard, Heard { updates: vec![FIRST, SECOND], ..Heard::default() });
        let replies =
            "{\"id\":1,\"connect\":{\"client\":\"x\"}}\n{\"id\":2,\"subscribe\":{}}\n{\"id\":3,\"subscribe\":{}}";
        let (heard, _) = hear(Dialect::Centrifuge, replies);
        assert_eq!(heard, Heard { confirmed: Dialect::Centrifuge.confirmations(2), other: true, ..Heard::default() });
        assert_eq!(hear(Dialect::Centrifuge, "{}").0.asked, 1);
        assert_eq!(unmask(&Dialect::Centrifuge.answer()), "{}");
        assert!(refused(Dialect::Centrifuge, r#"{"id":2,"error":{"code":103,"message":"permission denied"}}"#));
        assert!(refused(Dialect::Centrifuge, r#"{"push":{"disconnect":{"code":3000}}}"#));
        let commands = unmask(&Dialect::Centrifuge.subscribe(&[0, 4]));
        assert_eq!(commands.lines().count(), 3, "{commands}");
    }
}
