//! The client's half of RFC 6455, as little of it as a load generator needs. The rule: bytes in, frames out, and an
//! incomplete frame is never an error, only not yet a frame.

use std::net::SocketAddr;

/// The opcodes that are told apart (RFC 6455 §5.2).
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// Not zero, so that the server's unmasking is real work.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The upgrade request. The key is sixteen zero bytes: a load generator need not prove who answers.
pub(crate) fn upgrade_request(path: &str, host: SocketAddr) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    .into_bytes()
}

/// One masked frame, FIN set.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    head(&mut frame, opcode, payload.len(), 0x80);
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Appends one unmasked frame, FIN set: what a server sends.
pub(crate) fn unmasked(buffer: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    head(buffer, opcode, payload.len(), 0);
    buffer.extend_from_slice(payload);
}

fn head(buffer: &mut Vec<u8>, opcode: u8, length: usize, mask_bit: u8) {
    buffer.push(0x80 | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..126), _) => buffer.push(mask_bit | length),
        (_, Ok(length)) => {
            buffer.push(mask_bit | 126);
            buffer.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            buffer.push(mask_bit | 127);
            buffer.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Splits the first unmasked frame off: its opcode, its payload and what follows. `None`: not all of it is here.
pub(crate) fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match head[1] & 0x7F {
        126 => rest.split_first_chunk::<2>().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?,
        127 => rest.split_first_chunk::<8>().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        length => (u64::from(length), rest),
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((head[0] & 0x0F, payload, rest))
}

/// Whether a message has this `type`.
pub(crate) fn is(payload: &[u8], kind: &str) -> bool {
    contains(payload, format!("\"type\":\"{kind}\"").as_bytes())
}

/// The whole numbers under a key of a JSON text without blanks, one after another.
pub(crate) fn numbers(json: &[u8], key: &str) -> Vec<u64> {
    let (json, key) = (String::from_utf8_lossy(json), format!("\"{key}\":"));
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    json.match_indices(&key).filter_map(|(at, _)| digits(&json[at + key.len()..]).parse().ok()).collect()
}

/// Whether `needle` occurs.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_form_split_where_they_end() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            unmasked(&mut bytes, TEXT, &vec![b'x'; length]);
            let whole = bytes.len();
            bytes.extend_from_slice(b"next");
            let (opcode, payload, rest) = split(&bytes).expect("the frame is whole");
            assert_eq!((opcode, payload.len(), rest), (TEXT, length, b"next".as_slice()));
            assert!((0..whole).all(|cut| split(&bytes[..cut]).is_none()), "a cut frame of {length} is not a frame");
        }
    }

    #[test]
    fn a_masked_frame_unmasks_to_its_payload() {
        let frame = masked(TEXT, b"{\"type\":\"ping\"}");
        assert_eq!(frame[..2], [0x81, 0x80 | 15]);
        let plain: Vec<u8> =
            frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(plain, b"{\"type\":\"ping\"}");
    }

    #[test]
    fn every_number_under_a_key_is_read() {
        let json = br#"{"content":[{"views":1,"likes":7},{"views":20,"likes":0}],"reviews":3}"#;
        assert_eq!(numbers(json, "views"), [1, 20]);
        assert_eq!(numbers(br#"{"views":-1}"#, "views"), [0; 0]);
    }
}
