//! Times on the wire: RFC 3339, UTC, ending in `Z`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{
    OffsetDateTime, UtcOffset,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

/// Always six digits of fraction, so that times are as long as each other and sort as text.
const FORM: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// A time on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub OffsetDateTime);

/// The Unix epoch.
impl Default for Time {
    fn default() -> Self {
        Self(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.0.to_offset(UtcOffset::UTC);
        f.pad(&utc.format(FORM).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_time(&text).map(Self).map_err(de::Error::custom)
    }
}

/// Reads an RFC 3339 time; it comes back in UTC and in whole microseconds, as stores keep it.
///
/// # Errors
/// When the text has another form; the message says what form is meant.
pub fn parse_time(text: &str) -> Result<OffsetDateTime, &'static str> {
    const REFUSAL: &str = "must be a time such as 2026-04-23T08:00:00Z (RFC 3339)";
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| REFUSAL)?;
    let utc = time.checked_to_offset(UtcOffset::UTC).ok_or(REFUSAL)?;
    if utc.year() < 1 {
        return Err(REFUSAL);
    }
    utc.replace_nanosecond(utc.microsecond() * 1000)
        .map_err(|_| REFUSAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&str>) {
        let actual = parse_time(text)
            .ok()
            .map(|time| serde_json::to_value(Time(time)).unwrap());
        assert_eq!(
            actual.as_ref().and_then(|value| value.as_str()),
            expect,
            "{text}"
        );
    }

    #[test]
    fn times_come_back_in_utc_and_microseconds() {
        check("2026-04-23T08:00:00Z", Some("2026-04-23T08:00:00.000000Z"));
        check(
            "2026-04-23T10:00:00.1234567+02:00",
            Some("2026-04-23T08:00:00.123456Z"),
        );
        check("2026-04-23", None);
        check("2026-04-23T08:00:00", None);
        check("0000-01-01T00:00:00+23:59", None);
        check("1", None);
    }
}
