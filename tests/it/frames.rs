//! Promise: what RFC 6455 allows is understood, and what it forbids closes the connection with the right code.

use analytics_tests::edge::Edge;
use analytics_tests::raw::{BINARY, CLOSE, Frame, PING, PONG, Raw, TEXT, handshake, masked, masked_header, unmasked};
use anyhow::{Context, Result, bail, ensure};

/// First bytes without FIN, and a final continuation.
const TEXT_BEGINS: u8 = 0x01;
const CONTINUES: u8 = 0x00;
const ENDS: u8 = 0x80;

const PING_MESSAGE: &[u8] = br#"{"type":"ping"}"#;

/// The default of `ANALYTICS_MAX_MESSAGE_BYTES`.
const MAX_MESSAGE_BYTES: u64 = 65536;

/// These tests are about frames, not about how many a second there may be. One hub: what one connection leaves behind
/// would meet the next.
const UNHURRIED: [(&str, &str); 2] = [("ANALYTICS_MESSAGES_PER_SECOND", "100000"), ("ANALYTICS_WORKERS", "1")];

/// Bytes that break the protocol, and the codes that may answer them.
fn broken() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let close = |code: u16| masked(CLOSE, &code.to_be_bytes());
    let big = vec![b' '; 40_000];
    vec![
        ("an unmasked text", unmasked(TEXT, PING_MESSAGE), &[1002]),
        ("an unmasked ping", unmasked(PING, b""), &[1002]),
        ("RSV1", masked(TEXT | 0x40, PING_MESSAGE), &[1002]),
        ("RSV2", masked(TEXT | 0x20, PING_MESSAGE), &[1002]),
        ("RSV3 on a ping", masked(PING | 0x10, b""), &[1002]),
        ("reserved opcode 3", masked(0x83, b""), &[1002]),
        ("reserved opcode 7", masked(0x87, b""), &[1002]),
        ("reserved opcode B", masked(0x8b, b""), &[1002]),
        ("reserved opcode F", masked(0x8f, b""), &[1002]),
        ("a fragmented ping", masked(0x09, b"x"), &[1002]),
        ("a fragmented close", masked(0x08, b""), &[1002]),
        ("a ping of 126 bytes", masked(PING, &[b'x'; 126]), &[1002]),
        ("a ping that claims 2^40 bytes", masked_header(PING, 1 << 40), &[1002]),
        ("a continuation of nothing", masked(ENDS, b"x"), &[1002]),
        ("a text within a text", [masked(TEXT_BEGINS, b"{"), masked(TEXT, PING_MESSAGE)].concat(), &[1002]),
        ("a binary within a text", [masked(TEXT_BEGINS, b"{"), masked(BINARY, b"x")].concat(), &[1002]),
        ("a text that is not UTF-8", masked(TEXT, b"\"\xff\""), &[1007]),
        ("an overlong form", masked(TEXT, b"\xc0\xaf"), &[1007]),
        ("a surrogate", masked(TEXT, b"\xed\xa0\x80"), &[1007]),
        ("a code point beyond U+10FFFF", masked(TEXT, b"\xf4\x90\x80\x80"), &[1007]),
        ("a text that ends within a character", masked(TEXT, b"\"\xe2\x82"), &[1007]),
        (
            "a character broken across fragments, before the message ends",
            [masked(TEXT_BEGINS, b"\"\xe2\x82"), masked(CONTINUES, b"(")].concat(),
            &[1007],
        ),
        ("a first fragment that is not UTF-8, before the message ends", masked(TEXT_BEGINS, b"\xff"), &[1007]),
        (
            "a message that ends within a character, in its last fragment",
            [masked(TEXT_BEGINS, b"\"\xe2\x82"), masked(ENDS, b"")].concat(),
            &[1007],
        ),
        (
            "a last fragment that is not UTF-8",
            [masked(TEXT_BEGINS, b"{\"type\":\"of another\"} "), masked(ENDS, b"\xff")].concat(),
            &[1007],
        ),
        (
            "a character broken by the last fragment",
            [masked(TEXT_BEGINS, b"\"\xe2"), masked(ENDS, b"a")].concat(),
            &[1007],
        ),
        ("a part of a frame that is not UTF-8, before the frame ends", first_part(b"\xff\xff", 1000), &[1007]),
        ("a close of one byte", masked(CLOSE, &[3]), &[1002]),
        ("close code 0", close(0), &[1002]),
        ("close code 999", close(999), &[1002]),
        ("close code 1004", close(1004), &[1002]),
        ("close code 1005", close(1005), &[1002]),
        ("close code 1006", close(1006), &[1002]),
        ("close code 1015", close(1015), &[1002]),
        ("close code 1016", close(1016), &[1002]),
        ("close code 2999", close(2999), &[1002]),
        ("close code 5000", close(5000), &[1002]),
        ("a close reason that is not UTF-8", masked(CLOSE, b"\x03\xe8\xff"), &[1007]),
        ("a header that claims too large a message", masked_header(TEXT, MAX_MESSAGE_BYTES + 1), &[1009]),
        ("a header that claims 2^62 bytes", masked_header(TEXT, 1 << 62), &[1009]),
        // RFC 6455 §5.2: the most significant bit must be 0; too large it is as well.
        ("a length with its highest bit set", masked_header(TEXT, u64::MAX), &[1002, 1009]),
        ("fragments too large together", [masked(TEXT_BEGINS, &big), masked(ENDS, &big)].concat(), &[1009]),
        ("a binary message too large", masked_header(BINARY, MAX_MESSAGE_BYTES + 1), &[1009]),
    ]
}

/// The header of a masked text of `length` bytes and its first bytes.
fn first_part(bytes: &[u8], length: u64) -> Vec<u8> {
    let mut frame = masked_header(TEXT, length);
    let whole = masked(TEXT, bytes);
    frame.extend(&whole[whole.len() - bytes.len()..]);
    frame
}

/// Promise: every broken frame closes its connection with the right code, and no other; nothing of it reaches the
/// connections that come after.
#[tokio::test]
async fn a_broken_frame_closes_with_the_right_code() -> Result<()> {
    let edge = Edge::start(&UNHURRIED).await?;
    let mut bystander = Raw::open(&edge.authority()?).await?;
    for (what, bytes, codes) in broken() {
        let mut raw = Raw::open(&edge.authority()?).await?;
        raw.send(&bytes).await?;
        let code = raw.close_code().await.context(what)?;
        ensure!(code.is_some_and(|code| codes.contains(&code)), "{what}: expected one of {codes:?}, got {code:?}");
        let mut next = Raw::open(&edge.authority()?).await?;
        next.send(&masked(TEXT, PING_MESSAGE)).await?;
        ensure!(next.message().await?["type"] == "pong", "a whole message after {what}");
        let (first, last) = PING_MESSAGE.split_at(5);
        next.send(&[masked(TEXT_BEGINS, first), masked(ENDS, last)].concat()).await?;
        ensure!(next.message().await?["type"] == "pong", "a fragmented message after {what}");
    }
    bystander.send(&masked(TEXT, PING_MESSAGE)).await?;
    ensure!(bystander.message().await?["type"] == "pong");
    Ok(())
}

/// Promise: a close is answered with the same code and the connection ends.
#[tokio::test]
async fn a_close_is_answered_and_the_connection_ends() -> Result<()> {
    let edge = Edge::start(&UNHURRIED).await?;
    for code in [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4000, 4999u16] {
        let mut raw = Raw::open(&edge.authority()?).await?;
        raw.send(&masked(CLOSE, &[&code.to_be_bytes()[..], "bye €".as_bytes()].concat())).await?;
        ensure!(raw.close_code().await? == Some(code), "close code {code} came back as another");
    }
    let mut raw = Raw::open(&edge.authority()?).await?;
    raw.send(&masked(CLOSE, b"")).await?;
    let code = raw.close_code().await?;
    ensure!(matches!(code, Some(1000 | 1005)), "a close without a code was answered with {code:?}");
    Ok(())
}

/// Promise: a fragmented message with control frames between its fragments is understood, its characters may be split
/// anywhere, and each ping gets its own payload back.
#[tokio::test]
async fn fragments_with_pings_between_them_are_one_message() -> Result<()> {
    let edge = Edge::start(&UNHURRIED).await?;
    let mut raw = Raw::open(&edge.authority()?).await?;
    let text = r#"{"type":"subscribe","contentIds":["a € 👍"]}"#.as_bytes();
    for (index, byte) in text.iter().enumerate() {
        let first = match index {
            0 => TEXT_BEGINS,
            _ if index + 1 == text.len() => ENDS,
            _ => CONTINUES,
        };
        raw.send(&masked(first, &[*byte])).await?;
        if index % 7 == 3 {
            let payload = index.to_string().into_bytes();
            raw.send(&masked(PING, &payload)).await?;
            let pong = raw.frame().await?.context("the connection ended")?;
            ensure!(pong == Frame { first: PONG, payload }, "{pong:?}");
        }
        raw.send(&masked(PONG, b"nobody asked")).await?;
    }
    let subscribed = raw.message().await?;
    ensure!(subscribed["contentIds"][0] == "a € 👍", "{subscribed}");
    // Empty fragments are fragments.
    for frame in [masked(TEXT_BEGINS, b""), masked(CONTINUES, PING_MESSAGE), masked(ENDS, b"")] {
        raw.send(&frame).await?;
    }
    ensure!(raw.message().await?["type"] == "pong");
    Ok(())
}

/// Promise: bytes may come in any pieces: with the handshake, one by one, or many messages at once.
#[tokio::test]
async fn bytes_may_come_in_any_pieces() -> Result<()> {
    let edge = Edge::start(&UNHURRIED).await?;
    let authority = edge.authority()?;
    let mut raw = Raw::connect(&authority).await?;
    let mut bytes = handshake(&authority, "/analytics/", "").into_bytes();
    // Together larger than any read buffer: none of what came early may be lost.
    bytes.extend(masked(TEXT, br#"{"type":"subscribe","contentIds":["early"]}"#));
    for _ in 0..500 {
        bytes.extend(masked(TEXT, &[PING_MESSAGE, &[b' '; 200]].concat()));
    }
    bytes.extend(masked(TEXT, br#"{"type":"subscribe","contentIds":["late"]}"#));
    raw.send(&bytes).await?;
    ensure!(raw.head().await?.starts_with("HTTP/1.1 101 "));
    ensure!(raw.message().await?["type"] == "connected");
    ensure!(raw.message().await?["contentIds"][0] == "early");
    // Pings that nobody has read the answers of may share one.
    loop {
        let message = raw.message().await?;
        match message["type"].as_str() {
            Some("pong") => {}
            Some("subscribed") if message["contentIds"][0] == "late" => break,
            _ => bail!("something was misread: {message}"),
        }
    }

    let mut raw = Raw::open(&authority).await?;
    for byte in masked(TEXT, PING_MESSAGE) {
        raw.send(&[byte]).await?;
    }
    ensure!(raw.message().await?["type"] == "pong");
    Ok(())
}

/// Promise: the largest message allowed is understood.
#[tokio::test]
async fn the_largest_message_allowed_is_understood() -> Result<()> {
    let edge = Edge::start(&UNHURRIED).await?;
    let mut raw = Raw::open(&edge.authority()?).await?;
    let mut text = PING_MESSAGE.to_vec();
    text.resize(MAX_MESSAGE_BYTES as usize, b' ');
    raw.send(&masked(TEXT, &text)).await?;
    ensure!(raw.message().await?["type"] == "pong");
    Ok(())
}

/// Promise: a handshake that is not one of RFC 6455 is refused before the upgrade, over plain HTTP.
#[tokio::test]
async fn a_handshake_that_is_none_is_refused() -> Result<()> {
    let edge = Edge::start(&UNHURRIED).await?;
    let authority = edge.authority()?;
    let good = handshake(&authority, "/analytics", "");
    let bad = [
        ("version 8", good.replace("Version: 13", "Version: 8"), &["426", "400"][..]),
        ("no version", good.replace("Sec-WebSocket-Version: 13\r\n", ""), &["426", "400"]),
        ("no key", good.replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), &["400"]),
        ("a short key", good.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), &["400"]),
        ("a POST", good.replace("GET ", "POST "), &["405", "400", "426"]),
    ];
    for (what, request, statuses) in bad {
        let mut raw = Raw::connect(&authority).await?;
        raw.send(request.as_bytes()).await?;
        let head = raw.head().await.context(what)?;
        let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
        ensure!(statuses.contains(&status.as_str()), "{what}: expected {statuses:?}, got {head}");
    }
    Ok(())
}

/// Promise: an upgrade that asks for the end of the connection as well is refused in words, and counted nowhere.
#[tokio::test]
async fn an_upgrade_that_asks_to_close_is_refused() -> Result<()> {
    let edge = Edge::start(&UNHURRIED).await?;
    let mut raw = Raw::connect(&edge.authority()?).await?;
    let request =
        handshake(&edge.authority()?, "/analytics", "").replace("Connection: Upgrade", "Connection: close, Upgrade");
    raw.send(request.as_bytes()).await?;
    let head = raw.head().await?;
    ensure!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let mut api = edge.api()?;
    ensure!(api.connected_clients().await? == 0, "the refused connection still counts");
    Ok(())
}
