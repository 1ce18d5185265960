//! UTF-8 checked as it arrives. The rule: a text is refused at the first byte that cannot be mended by what
//! follows, and accepted only if it does not end inside a character.

/// A validator fed in pieces; holds the start of a character that the last piece cut.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    cut: [u8; 4],
    len: u8,
}

/// The text is not UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8 {
    /// Takes the next piece.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), NotUtf8> {
        while self.len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.cut[usize::from(self.len)] = byte;
            self.len += 1;
            match std::str::from_utf8(&self.cut[..usize::from(self.len)]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => {
                    self.len = 0;
                    return Err(NotUtf8);
                }
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NotUtf8),
            Err(error) => {
                let cut = &piece[error.valid_up_to()..];
                self.cut[..cut.len()].copy_from_slice(cut);
                self.len = cut.len() as u8;
                Ok(())
            }
        }
    }

    /// Between two texts, or at a character's border.
    pub(super) fn is_idle(&self) -> bool {
        self.len == 0
    }

    /// Ends the text and readies the validator for the next one.
    pub(super) fn finish(&mut self) -> Result<(), NotUtf8> {
        let complete = self.len == 0;
        self.len = 0;
        if complete { Ok(()) } else { Err(NotUtf8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]]) -> Result<(), NotUtf8> {
        let mut utf8 = Utf8::default();
        for piece in pieces {
            utf8.push(piece)?;
        }
        utf8.finish()
    }

    #[test]
    fn any_cut_of_a_valid_text_is_valid() {
        let text = "κόσμε 𝄞 – ok".as_bytes();
        for cut in 0..text.len() {
            for end in cut..text.len() {
                assert_eq!(check(&[&text[..cut], &text[cut..end], &text[end..]]), Ok(()));
            }
        }
    }

    #[test]
    fn the_first_byte_that_cannot_be_mended_is_refused() {
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.push(b"ok \xf4"), Ok(()));
        assert_eq!(utf8.push(b"\x90"), Err(NotUtf8));
        for bad in [&b"\xc0\x80"[..], b"\xed\xa0\x80", b"\xff", b"a\x80"] {
            assert_eq!(check(&[bad]), Err(NotUtf8));
        }
        assert_eq!(check(&[b"cut \xe2\x82"]), Err(NotUtf8));
    }
}
