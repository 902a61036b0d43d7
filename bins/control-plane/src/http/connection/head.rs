//! Finds the end of a request's head.

use memchr::memchr_iter;

/// In bytes.
pub const MAX_HEAD: usize = 32 * 1024;

/// Searches for the empty line that ends a head, in as many pieces as it comes in.
///
/// As in the framework's parser, a line ends with LF, with or without CR before it, and empty lines before
/// the request line are skipped.
#[derive(Debug, Default)]
pub struct HeadScan {
    seen: usize,
    /// Whether the request line has begun.
    begun: bool,
    line: Line,
}

/// What the last piece has of its last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    /// A carriage return and nothing else.
    Cr,
    Text,
}

impl HeadScan {
    /// The number of bytes so far.
    pub const fn seen(&self) -> usize {
        self.seen
    }

    /// Scans the next piece. When the head ends in it, returns how much of it belongs to the head.
    pub fn find_end(&mut self, piece: &[u8]) -> Option<usize> {
        let mut rest = piece;
        if !self.begun {
            let blank = piece.iter().take_while(|b| b"\r\n".contains(b)).count();
            rest = piece.get(blank..).unwrap_or_default();
            self.begun = !rest.is_empty();
        }
        let before = piece.len().saturating_sub(rest.len());
        let mut from = 0;
        for at in memchr_iter(b'\n', rest) {
            let line = rest.get(from..at).unwrap_or_default();
            from = at.saturating_add(1);
            let ended = self.line.with(line);
            self.line = Line::Empty;
            if ended != Line::Text {
                self.seen = self.seen.saturating_add(before).saturating_add(from);
                return Some(before.saturating_add(from));
            }
        }
        self.line = self.line.with(rest.get(from..).unwrap_or_default());
        self.seen = self.seen.saturating_add(piece.len());
        None
    }
}

impl Line {
    fn with(self, more: &[u8]) -> Self {
        match (self, more) {
            (line, []) => line,
            (Self::Empty, b"\r") => Self::Cr,
            _ => Self::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, end: Option<usize>) {
        for size in 1..=bytes.len() {
            let mut scan = HeadScan::default();
            let mut found = None;
            let mut before = 0;
            for piece in bytes.as_bytes().chunks(size) {
                if let Some(at) = scan.find_end(piece) {
                    found = Some(before + at);
                    assert_eq!(scan.seen(), before + at, "{bytes:?}");
                    break;
                }
                before += piece.len();
            }
            assert_eq!(found, end, "{bytes:?} in pieces of {size}");
        }
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", Some(27));
        check("GET / HTTP/1.1\nHost: a\n\nrest", Some(24));
        check("GET / HTTP/1.1\nHost: a\n\r\nrest", Some(25));
        check("GET / HTTP/1.1\r\nHost: a\r\n", None);
        check("GET / HTTP/1.1\r\nHost: a\r\n\r", None);
        check("GET / HTTP/1.1\r\nA: \r\r\n\r\n", Some(24));
    }

    #[test]
    fn empty_lines_before_the_request_line_are_no_end() {
        check("\r\n\r\n\nGET / HTTP/1.1\r\n\r\nrest", Some(23));
        check("\r\n\r\n", None);
    }
}
