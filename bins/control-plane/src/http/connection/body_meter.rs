//! Finds the end of a request's body.

/// In bytes, extensions and trailers of a chunked body together.
const MAX_EXTRAS: u64 = 16 * 1024;

/// How a request delimits its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    Empty,
    /// The number of bytes, at least one.
    Length(u64),
    Chunked,
    /// It ends with the connection, as after `Upgrade: websocket`; it is not read.
    UntilEnd,
}

/// Tracks a body to its end. The framework parses it again.
#[derive(Debug)]
pub enum BodyMeter {
    /// The number of bytes that are left.
    Length(u64),
    Chunked(Chunks),
}

#[derive(Debug)]
pub struct Chunks {
    at: At,
    size: u64,
    extras: u64,
}

/// The part of a chunked body that a byte belongs to (RFC 9112, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    SizeFirst,
    Size,
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
    EndCr,
    EndLf,
    End,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Metered {
    /// The whole piece belongs to the body, which goes on.
    More,
    /// The body ends after this many bytes of the piece.
    Ends(usize),
    /// The framing is invalid.
    Broken,
}

impl BodyMeter {
    /// `None` for a body that is empty or not read.
    pub const fn new(kind: BodyKind) -> Option<Self> {
        match kind {
            BodyKind::Length(length) => Some(Self::Length(length)),
            BodyKind::Chunked => Some(Self::Chunked(Chunks {
                at: At::SizeFirst,
                size: 0,
                extras: 0,
            })),
            BodyKind::Empty | BodyKind::UntilEnd => None,
        }
    }

    pub fn take(&mut self, piece: &[u8]) -> Metered {
        match self {
            Self::Length(left) => {
                let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                if length < *left {
                    *left = left.saturating_sub(length);
                    return Metered::More;
                }
                Metered::Ends(usize::try_from(*left).unwrap_or(usize::MAX))
            }
            Self::Chunked(chunks) => chunks.take(piece),
        }
    }
}

impl Chunks {
    fn take(&mut self, piece: &[u8]) -> Metered {
        let mut rest = piece;
        while let Some((&byte, after)) = rest.split_first() {
            if self.at == At::Data {
                let length = u64::try_from(rest.len()).unwrap_or(u64::MAX).min(self.size);
                self.size = self.size.saturating_sub(length);
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                rest = rest.get(length..).unwrap_or_default();
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            rest = after;
            match self.step(byte) {
                Some(At::End) => return Metered::Ends(piece.len().saturating_sub(rest.len())),
                Some(next) => self.at = next,
                None => return Metered::Broken,
            }
        }
        Metered::More
    }

    /// The part of the next byte; `None` when this byte is invalid here.
    fn step(&mut self, byte: u8) -> Option<At> {
        match (self.at, byte) {
            (At::SizeFirst | At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16)?;
                let before = if self.at == At::SizeFirst {
                    0
                } else {
                    self.size
                };
                self.size = before.checked_mul(16)?.checked_add(digit.into())?;
                Some(At::Size)
            }
            (At::Size | At::SizeSpace, b'\t' | b' ') => self.extra(At::SizeSpace),
            (At::Size | At::SizeSpace, b';') => Some(At::Extension),
            (At::Size | At::SizeSpace | At::Extension, b'\r') => Some(At::SizeLf),
            (At::Extension, b'\t' | b' '..=0x7e | 0x80..) => self.extra(At::Extension),
            (At::SizeLf, b'\n') if self.size > 0 => Some(At::Data),
            (At::SizeLf, b'\n') => Some(At::EndCr),
            (At::DataCr, b'\r') => Some(At::DataLf),
            (At::DataLf, b'\n') => Some(At::SizeFirst),
            (At::Trailer, b'\r') => Some(At::TrailerLf),
            (At::TrailerLf, b'\n') => Some(At::EndCr),
            (At::EndCr, b'\r') => Some(At::EndLf),
            (At::EndLf, b'\n') => Some(At::End),
            (At::EndCr | At::Trailer, b'\t' | b' '..=0x7e | 0x80..) => self.extra(At::Trailer),
            _ => None,
        }
    }

    fn extra(&mut self, next: At) -> Option<At> {
        self.extras = self.extras.saturating_add(1);
        (self.extras <= MAX_EXTRAS).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(kind: BodyKind, bytes: &[u8], size: usize) -> Result<Option<usize>, ()> {
        let mut meter = BodyMeter::new(kind).unwrap();
        let mut before = 0;
        for piece in bytes.chunks(size) {
            match meter.take(piece) {
                Metered::More => before += piece.len(),
                Metered::Ends(at) => return Ok(Some(before + at)),
                Metered::Broken => return Err(()),
            }
        }
        Ok(None)
    }

    #[track_caller]
    fn check(kind: BodyKind, bytes: &[u8], expected: Result<Option<usize>, ()>) {
        for size in 1..=bytes.len() {
            let actual = measure(kind, bytes, size);
            assert_eq!(actual, expected, "{bytes:?} in pieces of {size}");
        }
    }

    #[test]
    fn a_length_is_counted_in_bytes() {
        check(BodyKind::Length(3), b"abcdef", Ok(Some(3)));
        check(BodyKind::Length(6), b"abcdef", Ok(Some(6)));
        check(BodyKind::Length(7), b"abcdef", Ok(None));
        assert!(BodyMeter::new(BodyKind::Empty).is_none());
    }

    #[test]
    fn chunks_end_with_an_empty_one_and_its_trailers() {
        let check = |text: &str, expected| check(BodyKind::Chunked, text.as_bytes(), expected);
        check("3\r\nabc\r\n0\r\n\r\nGET", Ok(Some(13)));
        check("0\r\n\r\n", Ok(Some(5)));
        check("1;a=b\r\nx\r\n0 \r\nTrailer: t\r\n\r\n", Ok(Some(28)));
        check("A\r\n0123456789\r\n0\r\n\r\nx", Ok(Some(20)));
        check("3\r\nabc\r\n", Ok(None));
        check("3\r\nabcd\r\n", Err(()));
        check("\r\nabc", Err(()));
        check("x\r\nabc", Err(()));
        check("3\nabc", Err(()));
        check("fffffffffffffffff\r\n", Err(()));
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let long = "x".repeat(17 * 1024);
        let bytes = format!("1;{long}\r\nx\r\n0\r\n\r\n");
        assert_eq!(measure(BodyKind::Chunked, bytes.as_bytes(), 1000), Err(()));
        let bytes = format!("0\r\na: {long}\r\n\r\n");
        assert_eq!(measure(BodyKind::Chunked, bytes.as_bytes(), 1000), Err(()));
    }
}
