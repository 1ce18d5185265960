//! RFC 6455 frames on the wire, server side. The rule: pure and total; a header is incomplete, valid or a
//! violation with its close code.

use analytics_shared::close::CloseCode;

/// The longest header a client can send: 2 bytes, 8 of length, 4 of mask.
pub(super) const MAX_HEADER: usize = 14;

/// The largest payload of a control frame (RFC 6455 §5.5).
pub(super) const MAX_CONTROL: usize = 125;

/// What a frame is (RFC 6455 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    pub(super) fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The header of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: [u8; 4],
    pub(super) payload: u64,
}

/// The peer broke the protocol or a limit; the connection is closed with this code and reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) code: CloseCode,
    pub(super) reason: &'static str,
}

impl Violation {
    pub(super) const fn protocol(reason: &'static str) -> Violation {
        Violation { code: CloseCode::Protocol, reason }
    }
}

/// Reads a header from the start of `bytes`: the header and its length, or `None` while it is incomplete.
///
/// A violation is reported from the first byte that shows it.
pub(super) fn parse_header(bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Violation::protocol("reserved bits are set"));
    }
    let fin = first & 0x80 != 0;
    let opcode = match first & 0x0f {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xa => Opcode::Pong,
        _ => return Err(Violation::protocol("unknown opcode")),
    };
    if opcode.is_control() && !fin {
        return Err(Violation::protocol("fragmented control frame"));
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err(Violation::protocol("unmasked frame"));
    }
    let short = second & 0x7f;
    if opcode.is_control() && usize::from(short) > MAX_CONTROL {
        return Err(Violation::protocol("control frame too long"));
    }
    let (payload, at) = match short {
        126 => {
            let Some(length) = bytes.get(2..4).and_then(|b| b.try_into().ok()) else { return Ok(None) };
            (u64::from(u16::from_be_bytes(length)), 4)
        }
        127 => {
            let Some(length) = bytes.get(2..10).and_then(|b| b.try_into().ok()) else { return Ok(None) };
            (u64::from_be_bytes(length), 10)
        }
        short => (u64::from(short), 2),
    };
    // RFC 6455 §5.2: the minimal number of bytes must encode the length, the most significant bit must be 0.
    let minimal = match at {
        4 => payload > 125,
        10 => payload > 0xffff && payload >> 63 == 0,
        _ => true,
    };
    if !minimal {
        return Err(Violation::protocol("length is not minimal"));
    }
    let Some(mask) = bytes.get(at..at + 4).and_then(|b| b.try_into().ok()) else { return Ok(None) };
    Ok(Some((Header { fin, opcode, mask, payload }, at + 4)))
}

/// Removes the mask from a part of a payload that starts `offset` bytes into it.
pub(super) fn unmask(part: &mut [u8], mask: [u8; 4], offset: u64) {
    let mut key = mask;
    key.rotate_left((offset % 4) as usize);
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut chunks = part.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends an unmasked frame with its payload; servers never mask (RFC 6455 §5.1).
pub(super) fn push(buffer: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    buffer.push(
        0x80 | match opcode {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xa,
        },
    );
    match payload.len() {
        length @ 0..126 => buffer.push(length as u8),
        length @ 126..=0xffff => {
            buffer.push(126);
            buffer.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            buffer.push(127);
            buffer.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    buffer.extend_from_slice(payload);
}

/// Appends a Close frame; the reason is cut to what a control frame holds, at a character's border.
pub(super) fn push_close(buffer: &mut Vec<u8>, code: u16, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    let mut payload = [0; MAX_CONTROL];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
    push(buffer, Opcode::Close, &payload[..2 + reason.len()]);
}

/// How many frames a run of whole unmasked frames holds.
pub(super) fn count(frames: &[u8]) -> u32 {
    let (mut border, mut count) = (0, 0);
    while border < frames.len() {
        border = end_of_frame(&frames[border..], 1) + border;
        count += 1;
    }
    count
}

/// Where the frame that covers byte `at` of a run of whole unmasked frames ends; `at` itself on a border.
pub(super) fn end_of_frame(frames: &[u8], at: usize) -> usize {
    let mut border = 0;
    while border < at {
        let (header, length) = match frames[border + 1] {
            126 => (4, usize::from(u16::from_be_bytes([frames[border + 2], frames[border + 3]]))),
            127 => {
                let mut length = [0; 8];
                length.copy_from_slice(&frames[border + 2..border + 10]);
                (10, u64::from_be_bytes(length) as usize)
            }
            short => (2, usize::from(short)),
        };
        border += header + length;
    }
    border
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Violation> {
        parse_header(bytes)
    }

    #[test]
    fn headers_of_every_length_are_read_as_they_arrive() {
        for (length, bytes) in [
            (5u64, vec![0x81, 0x85]),
            (126, vec![0x81, 0xfe, 0, 126]),
            (65_536, vec![0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let whole = [bytes.as_slice(), &[1, 2, 3, 4]].concat();
            for cut in 0..whole.len() {
                assert_eq!(parse(&whole[..cut]), Ok(None));
            }
            let (header, used) = parse(&whole).expect("valid").expect("complete");
            assert_eq!((header.payload, used, header.mask), (length, whole.len(), [1, 2, 3, 4]));
        }
    }

    #[test]
    fn violations_are_seen_at_their_first_byte() {
        for bytes in [
            &[0xc1][..],
            &[0x83],
            &[0x09],
            &[0x81, 0x05],
            &[0x89, 0xfe],
            &[0x81, 0xfe, 0, 125, 0],
            &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            &[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(parse(bytes).map_err(|v| v.code), Err(CloseCode::Protocol), "{bytes:x?}");
        }
    }

    #[test]
    fn unmasking_works_from_any_offset() {
        let plain: Vec<u8> = (0..100).collect();
        let mask = [7, 77, 177, 250];
        let masked: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
        for cut in 0..plain.len() {
            let mut parts = masked.clone();
            let (head, tail) = parts.split_at_mut(cut);
            unmask(head, mask, 0);
            unmask(tail, mask, cut as u64);
            assert_eq!(parts, plain);
        }
    }

    #[test]
    fn the_border_after_any_byte_is_found() {
        let mut frames = Vec::new();
        let mut borders = vec![0];
        for length in [0, 125, 126, 65_535, 65_536] {
            push(&mut frames, Opcode::Text, &vec![b'x'; length]);
            borders.push(frames.len());
        }
        for (at, border) in
            [(0, 0), (1, 2), (2, 2), (3, borders[2]), (borders[3] - 1, borders[3]), (borders[4] + 1, borders[5])]
        {
            assert_eq!(end_of_frame(&frames, at), border);
            assert_eq!(
                count(&frames[..border]) as usize,
                borders.iter().position(|other| *other == border).expect("a border")
            );
        }
    }
}
