//! The reason of a failure: the last line that a program has written.

/// How much of what a program writes to standard error is kept, in bytes.
const KEPT: usize = 64 * 1024;
/// The longest reason, in characters.
const MAX_REASON: usize = 500;

/// The last bytes of a stream of any length.
#[derive(Debug, Default)]
pub struct Tail {
    kept: Vec<u8>,
    /// Whether they may begin within a line.
    is_cut: bool,
}

impl Tail {
    pub fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > 2 * KEPT {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.is_cut |= surplus > 0;
        self.kept.drain(..surplus);
    }

    /// Whole lines alone where there is more than is kept: nobody would know the end of a secret for one.
    pub fn text(&mut self) -> String {
        self.cut();
        if std::mem::take(&mut self.is_cut) {
            let end = self.kept.iter().position(|&byte| byte == b'\n');
            let whole = end.map_or(self.kept.len(), |end| end.saturating_add(1));
            self.kept.drain(..whole);
        }
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// The last line that is not blank.
pub fn last_line(text: &str) -> Option<String> {
    let mut lines = text.lines().rev().map(clean);
    lines.find(|line| !line.is_empty())
}

/// A text of unknown origin, safe to show: without control characters, and not too long.
pub fn clean(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let text: String = text.trim().chars().take(MAX_REASON).map(plain).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        assert_eq!(last_line(text).as_deref(), expect, "{text:?}");
    }

    #[test]
    fn the_reason_is_the_last_line_with_anything_in_it() {
        check("", None);
        check("\n \n\t\n", None);
        check("no room", Some("no room"));
        check("trying\nno room\n\n  \r\n", Some("no room"));
        check("first\r\nsecond\r\n", Some("second"));
        check("\u{1b}[31mred\u{7}\0", Some("[31mred"));
        check(&"x".repeat(10_000), Some(&"x".repeat(500)));
        check(&"ü".repeat(10_000), Some(&"ü".repeat(500)));
    }

    #[test]
    fn of_a_long_stream_the_last_whole_lines_are_kept() {
        let mut tail = Tail::default();
        for _ in 0..1000 {
            tail.push(&[b'x'; 8192]);
            assert!(tail.kept.len() <= 2 * KEPT + 8192);
        }
        tail.push(b"\nnear the end\nthe end\n");
        assert_eq!(tail.text(), "near the end\nthe end\n");
        assert_eq!(tail.text(), "near the end\nthe end\n");
    }

    #[test]
    fn of_a_line_that_is_cut_nothing_is_kept() {
        let mut tail = Tail::default();
        tail.push(&[b'x'; KEPT + 1]);
        assert_eq!(tail.text(), "");
        let mut tail = Tail::default();
        tail.push(&[b'x'; KEPT]);
        assert_eq!(tail.text().len(), KEPT, "it is whole");
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let mut tail = Tail::default();
        tail.push(b"\xff\xfe no\xc3");
        assert_eq!(
            last_line(&tail.text()).as_deref(),
            Some("\u{fffd}\u{fffd} no\u{fffd}")
        );
    }
}
