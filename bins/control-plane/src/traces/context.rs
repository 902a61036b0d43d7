//! W3C Trace Context, level 1: the header `traceparent`.

use std::fmt;

/// What a trace is at one place of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a header. One that is malformed is as good as none (section 3.2.2.3).
    pub fn parse(header: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(header).ok()?;
        let mut parts = text.split('-');
        let version = hex::<1>(parts.next()?)?;
        let trace_id = hex(parts.next()?)?;
        let span_id = hex(parts.next()?)?;
        let [flags] = hex(parts.next()?)?;
        // A later version may have further parts; this one has none, and 255 is forbidden.
        let fits = match version {
            [0] => parts.next().is_none(),
            [255] => false,
            _ => true,
        };
        (fits && trace_id != [0; 16] && span_id != [0; 8]).then_some(Self {
            trace_id,
            span_id,
            sampled: flags & 1 == 1,
        })
    }

    /// The id of the trace as text.
    pub fn trace(&self) -> Hex<'_> {
        Hex(&self.trace_id)
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span, flags) = (self.trace(), Hex(&self.span_id), u8::from(self.sampled));
        write!(f, "00-{trace}-{span}-{flags:02x}")
    }
}

/// Bytes as lower-case hexadecimal digits.
pub struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * N || !text.bytes().all(is_hex) {
        return None;
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_written_as_it_was_read() {
        let context = TraceContext::parse(EXAMPLE.as_bytes()).unwrap();
        assert!(context.sampled);
        assert_eq!(context.to_string(), EXAMPLE);
        let unsampled = EXAMPLE.replace("-01", "-00");
        let context = TraceContext::parse(unsampled.as_bytes()).unwrap();
        assert_eq!(context.to_string(), unsampled);
        assert_eq!(context.trace().to_string(), &EXAMPLE[3..35]);
    }

    #[test]
    fn a_later_version_is_read_by_its_first_parts() {
        let later = EXAMPLE.replace("00-4bf", "cc-4bf") + "-what-follows";
        assert!(TraceContext::parse(later.as_bytes()).is_some());
    }

    #[test]
    fn malformed_headers_are_none() {
        let zeros = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        for header in [
            "",
            "00",
            &EXAMPLE.to_uppercase(),
            &EXAMPLE[..EXAMPLE.len() - 1],
            &format!("{EXAMPLE}-00"),
            &EXAMPLE.replace("00-4bf", "ff-4bf"),
            &EXAMPLE.replace("00f067aa0ba902b7", "0000000000000000"),
            &zeros,
            "00-é",
        ] {
            assert_eq!(TraceContext::parse(header.as_bytes()), None, "{header}");
        }
        assert_eq!(TraceContext::parse(b"\xff"), None);
    }
}
