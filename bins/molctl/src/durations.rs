//! Times such as `90`, `90s`, `10m`, `2h` and `7d`.

use std::{fmt, str::FromStr, time::Duration};

/// A time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    /// The seconds, as the API takes them.
    pub(crate) fn seconds(self) -> u32 {
        u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX)
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be a time such as 90s, 10m, 2h or 7d";
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = match text.get(digits.len()..) {
            Some("" | "s") => 1,
            Some("m") => 60,
            Some("h") => 3600,
            Some("d") => 86_400,
            _ => return Err(FORM),
        };
        let count: u32 = digits.parse().map_err(|_| FORM)?;
        Ok(Self(Duration::from_secs(u64::from(count) * unit)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<u64>) {
        let actual = text.parse::<Span>().ok().map(|span| span.0.as_secs());
        assert_eq!(actual, expect, "{text:?}");
    }

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        check("0", Some(0));
        check("90", Some(90));
        check("90s", Some(90));
        check("10m", Some(600));
        check("2h", Some(7200));
        check("7d", Some(604_800));
        for text in [
            "",
            "s",
            "1w",
            "-1",
            "1.5h",
            "1h30m",
            " 1",
            "1 h",
            "99999999999",
        ] {
            check(text, None);
        }
    }
}
