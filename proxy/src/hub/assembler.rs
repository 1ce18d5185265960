//! From bytes to messages (RFC 6455 §5.4). The rule: whatever the cut of the bytes, the same messages come out,
//! and a violation is seen as early as the bytes show it.
//!
//! A connection between messages owns no assembler; the hub lends one spare to whoever reads and keeps it only
//! while a message is incomplete.

use analytics_shared::close::{self, CloseCode};

use super::frame::{self, Header, MAX_HEADER, Opcode, Violation};
use super::utf8::Utf8;

/// The state between two reads of one connection.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// The frame whose payload arrives, and how much of it came.
    frame: Option<(Header, u64)>,
    /// The kind of the message whose fragments arrive.
    message: Option<Kind>,
    text: Vec<u8>,
    text_len: usize,
    utf8: Utf8,
    control: Vec<u8>,
    /// Input that was read but not looked at because output is pending.
    pub(super) stash: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

/// A complete message or control frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// A text message, valid UTF-8.
    Text(&'a [u8]),
    /// A binary message; its payload is not kept.
    Binary,
    Ping(&'a [u8]),
    Pong,
    /// The peer closes; its code, or 1005 where it sent none (RFC 6455 §7.1.5).
    Close(u16),
}

impl Assembler {
    /// Nothing is under way: the connection need not keep it, and another may have it.
    pub(super) fn is_idle(&self) -> bool {
        self.header_len == 0
            && self.frame.is_none()
            && self.message.is_none()
            && self.text_len == 0
            && self.utf8.is_idle()
            && self.stash.is_empty()
    }

    /// Reads on in `input` from `*at` until one event is complete or the input ends.
    ///
    /// After a violation the assembler is of no more use.
    ///
    /// `max` bounds a message's payload in bytes, over all its fragments; a frame that would pass it is refused by
    /// its header alone.
    pub(super) fn next<'a>(
        &'a mut self,
        input: &'a mut [u8],
        at: &mut usize,
        max: usize,
    ) -> Result<Option<Event<'a>>, Violation> {
        loop {
            if self.frame.is_none() && !self.read_header(input, at, max)? {
                return Ok(None);
            }
            let Some((header, done)) = self.frame else { return Ok(None) };
            let take = (header.payload - done).min((input.len() - *at) as u64) as usize;
            let start = *at;
            *at += take;
            let complete = done + take as u64 == header.payload;
            self.frame = if complete { None } else { Some((header, done + take as u64)) };
            frame::unmask(&mut input[start..start + take], header.mask, done);

            // Borrowed anew below where an event borrows from the input: the loop must not hold it.
            let part = start..start + take;
            if header.opcode.is_control() {
                if done == 0 && complete {
                    return control_event(header.opcode, &input[part]).map(Some);
                }
                self.control.extend_from_slice(&input[part]);
                return if complete { control_event(header.opcode, &self.control).map(Some) } else { Ok(None) };
            }
            let last = complete && header.fin;
            let kind = self.message.unwrap_or(Kind::Binary);
            if last {
                self.message = None;
            }
            if kind == Kind::Binary {
                self.text_len = if last { 0 } else { self.text_len + take };
                if last {
                    return Ok(Some(Event::Binary));
                }
            } else {
                self.utf8.push(&input[part.clone()]).map_err(|_| NOT_UTF8)?;
                if last {
                    self.utf8.finish().map_err(|_| NOT_UTF8)?;
                    if std::mem::take(&mut self.text_len) == 0 {
                        return Ok(Some(Event::Text(&input[part])));
                    }
                    self.text.extend_from_slice(&input[part]);
                    return Ok(Some(Event::Text(&self.text)));
                }
                if self.text_len == 0 {
                    self.text.clear();
                }
                self.text.extend_from_slice(&input[part]);
                self.text_len += take;
            }
            if !complete {
                return Ok(None);
            }
        }
    }

    /// Drops what is left of the message that was handed out last, unless it is small.
    pub(super) fn trim(&mut self) {
        const KEEP: usize = 4096;
        if self.message.is_none() && self.text.capacity() > KEEP {
            self.text = Vec::new();
        }
    }

    /// Completes a header from the input; `false` while bytes are missing.
    fn read_header(&mut self, input: &[u8], at: &mut usize, max: usize) -> Result<bool, Violation> {
        let had = self.header_len;
        let take = (MAX_HEADER - had).min(input.len() - *at);
        self.header[had..had + take].copy_from_slice(&input[*at..*at + take]);
        let Some((header, used)) = frame::parse_header(&self.header[..had + take])? else {
            self.header_len = had + take;
            *at += take;
            return Ok(false);
        };
        self.header_len = 0;
        *at += used - had;
        match (header.opcode, self.message) {
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(Violation::protocol("a new message inside a fragmented one"));
            }
            (Opcode::Continuation, None) => return Err(Violation::protocol("a continuation of nothing")),
            (Opcode::Text, None) => self.message = Some(Kind::Text),
            (Opcode::Binary, None) => self.message = Some(Kind::Binary),
            _ => {}
        }
        if !header.opcode.is_control() && header.payload > (max - self.text_len.min(max)) as u64 {
            return Err(Violation { code: CloseCode::TooBig, reason: "message too long" });
        }
        if header.opcode.is_control() {
            self.control.clear();
        }
        self.frame = Some((header, 0));
        Ok(true)
    }
}

const NOT_UTF8: Violation = Violation { code: CloseCode::InvalidPayload, reason: "text is not UTF-8" };

fn control_event(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, Violation> {
    match (opcode, payload) {
        (Opcode::Ping, payload) => Ok(Event::Ping(payload)),
        (Opcode::Pong, _) => Ok(Event::Pong),
        (_, []) => Ok(Event::Close(1005)),
        (_, [_]) => Err(Violation::protocol("close code cut")),
        (_, [high, low, reason @ ..]) => {
            let code = u16::from_be_bytes([*high, *low]);
            if !close::may_be_received(code) {
                return Err(Violation::protocol("close code not allowed"));
            }
            std::str::from_utf8(reason).map_err(|_| NOT_UTF8)?;
            Ok(Event::Close(code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [9, 8, 7, 6];
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..126 => bytes.push(0x80 | length as u8),
            length => {
                bytes.push(0xfe);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&mask);
        let at = bytes.len();
        bytes.extend_from_slice(payload);
        frame::unmask(&mut bytes[at..], mask, 0);
        bytes
    }

    fn events(pieces: &[&[u8]], max: usize) -> Result<Vec<String>, Violation> {
        let mut assembler = Assembler::default();
        let mut seen = Vec::new();
        for piece in pieces {
            let mut input = piece.to_vec();
            let mut at = 0;
            while let Some(event) = assembler.next(&mut input, &mut at, max)? {
                seen.push(match event {
                    Event::Text(text) => format!("text {}", String::from_utf8_lossy(text)),
                    Event::Binary => "binary".into(),
                    Event::Ping(payload) => format!("ping {}", String::from_utf8_lossy(payload)),
                    Event::Pong => "pong".into(),
                    Event::Close(code) => format!("close {code}"),
                });
            }
            assert_eq!(at, input.len());
        }
        Ok(seen)
    }

    #[test]
    fn any_cut_gives_the_same_messages() {
        let long = "é".repeat(200);
        let stream = [
            frame(0x81, b"one"),
            frame(0x01, "tw€".as_bytes().split_at(4).0),
            frame(0x89, b"ping!"),
            frame(0x00, b"\xac"),
            frame(0x8a, b""),
            frame(0x80, b""),
            frame(0x81, b""),
            frame(0x02, b"\xff\xfe"),
            frame(0x80, b"\x00"),
            frame(0x81, long.as_bytes()),
            frame(0x88, b"\x03\xe8bye"),
        ]
        .concat();
        let expected =
            ["text one", "ping ping!", "pong", "text tw€", "text ", "binary", &format!("text {long}"), "close 1000"];
        for cut in 0..stream.len() {
            let seen = events(&[&stream[..cut], &stream[cut..]], 1000).expect("valid");
            assert_eq!(seen, expected, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(events(&bytes, 1000).expect("valid"), expected);
    }

    #[test]
    fn violations_have_their_codes() {
        for (stream, code) in [
            (frame(0x80, b"x"), CloseCode::Protocol),
            ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), CloseCode::Protocol),
            (frame(0x88, b"\x03"), CloseCode::Protocol),
            (frame(0x88, b"\x03\xed"), CloseCode::Protocol),
            (frame(0x88, b"\x03\xe8\xff"), CloseCode::InvalidPayload),
            (frame(0x81, b"\xff"), CloseCode::InvalidPayload),
            (frame(0x81, b"\xe2\x82"), CloseCode::InvalidPayload),
            ([frame(0x01, b"\xe2"), frame(0x80, b"a")].concat(), CloseCode::InvalidPayload),
            (frame(0x81, &[b'x'; 101]), CloseCode::TooBig),
            ([frame(0x01, &[b'x'; 60]), frame(0x80, &[b'x'; 41])].concat(), CloseCode::TooBig),
            ([frame(0x02, &[b'x'; 60]), frame(0x80, &[b'x'; 41])].concat(), CloseCode::TooBig),
        ] {
            assert_eq!(events(&[&stream], 100).map_err(|v| v.code), Err(code), "{stream:x?}");
        }
    }

    #[test]
    fn bad_utf8_is_seen_before_its_message_ends() {
        let whole = frame(0x01, b"\xc0 and so on");
        assert_eq!(events(&[&whole[..7]], 100), Err(NOT_UTF8));
    }

    #[test]
    fn an_oversized_message_is_refused_by_its_header() {
        assert_eq!(events(&[&frame(0x81, &[b'x'; 200])[..8]], 100).map_err(|v| v.code), Err(CloseCode::TooBig));
    }

    #[test]
    fn between_messages_nothing_is_kept() {
        let mut assembler = Assembler::default();
        let mut input = [frame(0x01, b"a"), frame(0x80, b"b")].concat();
        let mut at = 0;
        assert_eq!(assembler.next(&mut input, &mut at, 10), Ok(Some(Event::Text(b"ab"))));
        assert!(assembler.is_idle());
    }
}
