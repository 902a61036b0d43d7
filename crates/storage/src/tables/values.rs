//! How the domain's values stand in columns, and how they are read back.

use std::collections::BTreeMap;

use ids::{Labels, Name, PageRequest, PlanName, TypedId};
use keys::{KeyDigest, Networks, PepperId};
use ratelimit::RateLimit;
use stores::StoreError;
use time::{Duration, OffsetDateTime};

/// A stored value that is not what was written.
pub(crate) const fn corrupt(what: &'static str) -> StoreError {
    StoreError::Corrupt { what }
}

/// The error for stored events that can't be decoded.
pub(crate) const fn undecodable(error: audit_log::Corrupt) -> StoreError {
    corrupt(error.0)
}

/// Microseconds since 1970, rounded down.
pub(crate) fn micros(at: OffsetDateTime) -> i64 {
    // Every year that the type can hold fits: they end at 999999.
    at.unix_timestamp()
        .saturating_mul(1_000_000)
        .saturating_add(at.microsecond().into())
}

/// The time of this many microseconds since 1970.
pub(crate) fn time(micros: i64, what: &'static str) -> Result<OffsetDateTime, StoreError> {
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    OffsetDateTime::from_unix_timestamp(seconds)
        .map(|time| time + Duration::microseconds(rest))
        .map_err(|_| corrupt(what))
}

/// The time, if there is one.
pub(crate) fn optional_time(
    micros: Option<i64>,
    what: &'static str,
) -> Result<Option<OffsetDateTime>, StoreError> {
    micros.map(|micros| time(micros, what)).transpose()
}

/// The id that a text is.
pub(crate) fn id<I: TypedId>(text: &str, what: &'static str) -> Result<I, StoreError> {
    text.parse().map_err(|_| corrupt(what))
}

/// The id, if there is one.
pub(crate) fn optional_id<I: TypedId>(
    text: Option<&str>,
    what: &'static str,
) -> Result<Option<I>, StoreError> {
    text.map(|text| id(text, what)).transpose()
}

/// The name that a text is.
pub(crate) fn name(text: String, what: &'static str) -> Result<Name, StoreError> {
    Name::new(text).map_err(|_| corrupt(what))
}

/// The plan that a text names.
pub(crate) fn plan(text: String, what: &'static str) -> Result<PlanName, StoreError> {
    PlanName::new(text).map_err(|_| corrupt(what))
}

/// A number that is not negative.
pub(crate) fn number<N: TryFrom<i64>>(value: i64, what: &'static str) -> Result<N, StoreError> {
    N::try_from(value).map_err(|_| corrupt(what))
}

/// Labels as JSON.
pub(crate) fn labels_text(labels: &Labels) -> String {
    let object = labels
        .iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    serde_json::Value::Object(object).to_string()
}

/// Labels from JSON.
pub(crate) fn labels(text: &str, what: &'static str) -> Result<Labels, StoreError> {
    let pairs: BTreeMap<String, String> = serde_json::from_str(text).map_err(|_| corrupt(what))?;
    Labels::new(pairs).map_err(|_| corrupt(what))
}

/// An object of strings as JSON; nothing when it is empty.
pub(crate) fn outputs_text(outputs: &BTreeMap<String, String>) -> Option<String> {
    let text = (!outputs.is_empty()).then(|| serde_json::to_string(outputs));
    text.and_then(Result::ok)
}

/// An object of strings from JSON.
pub(crate) fn outputs(
    text: Option<&str>,
    what: &'static str,
) -> Result<BTreeMap<String, String>, StoreError> {
    text.map_or_else(
        || Ok(BTreeMap::new()),
        |text| serde_json::from_str(text).map_err(|_| corrupt(what)),
    )
}

/// Plans as a JSON array.
pub(crate) fn plans_text(plans: &[PlanName]) -> String {
    let names = plans.iter().map(|plan| plan.as_str().into()).collect();
    serde_json::Value::Array(names).to_string()
}

/// Plans from a JSON array.
pub(crate) fn plans(text: &str, what: &'static str) -> Result<Vec<PlanName>, StoreError> {
    let names: Vec<String> = serde_json::from_str(text).map_err(|_| corrupt(what))?;
    names.into_iter().map(|name| plan(name, what)).collect()
}

/// The digest that some bytes are.
pub(crate) fn digest(bytes: Vec<u8>) -> Result<KeyDigest, StoreError> {
    let bytes = bytes.try_into().map_err(|_| corrupt("a digest"))?;
    Ok(KeyDigest::from_bytes(bytes))
}

/// The id of a pepper.
pub(crate) fn pepper_id(text: &str) -> Result<PepperId, StoreError> {
    text.parse().map_err(|_| corrupt("the id of a pepper"))
}

/// The column that says which pepper a digest was made with.
pub(crate) fn pepper(digest: &KeyDigest) -> Option<String> {
    digest.pepper().map(|pepper| pepper.to_string())
}

/// Networks, separated by commas.
pub(crate) fn networks_text(networks: &Networks) -> String {
    networks.iter().collect::<Vec<_>>().join(",")
}

/// Networks from a text that separates them by commas.
pub(crate) fn networks(text: &str, what: &'static str) -> Result<Networks, StoreError> {
    Networks::parse(text.split(',')).map_err(|_| corrupt(what))
}

/// The two columns of a limit.
pub(crate) fn limit_columns(limit: Option<RateLimit>) -> (Option<i64>, Option<i64>) {
    (
        limit.map(|limit| limit.limit().get().into()),
        limit.map(|limit| limit.window_seconds().get().into()),
    )
}

/// The limit in its two columns.
pub(crate) fn limit(
    (burst, window): (Option<i64>, Option<i64>),
    what: &'static str,
) -> Result<Option<RateLimit>, StoreError> {
    match (burst, window) {
        (None, None) => Ok(None),
        (Some(burst), Some(window)) => RateLimit::new(number(burst, what)?, number(window, what)?)
            .map(Some)
            .map_err(|_| corrupt(what)),
        (Some(_), None) | (None, Some(_)) => Err(corrupt(what)),
    }
}

/// How many rows to ask for: one more than the page has tells whether there are others.
pub(crate) fn rows_for(page: PageRequest) -> i64 {
    row_count(page.limit.saturating_add(1))
}

/// A number of rows as the engines take it.
pub(crate) fn row_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The id below which the page begins.
pub(crate) fn after<I: TypedId>(page: PageRequest) -> Option<String> {
    page.after.map(|ulid| I::from_ulid(ulid).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_to_the_microsecond() {
        for nanos in [0, 1_767_225_600_123_456_789, -1_500] {
            let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap();
            let back = time(micros(at), "time").unwrap();
            assert_eq!(back.unix_timestamp_nanos(), nanos.div_euclid(1000) * 1000);
        }
    }

    #[test]
    fn labels_and_plans_come_back() {
        let pairs = [("a", "quote \" and \\"), ("b.c", "ü")];
        let before = Labels::new(pairs.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
        assert_eq!(labels(&labels_text(&before), "labels").unwrap(), before);

        let before = vec![PlanName::new("free").unwrap()];
        assert_eq!(plans(&plans_text(&before), "plans").unwrap(), before);
    }

    #[test]
    fn half_a_limit_is_corrupt() {
        assert!(limit((Some(1), None), "limit").is_err());
        assert!(limit((Some(0), Some(1)), "limit").is_err());
        assert!(limit((None, None), "limit").unwrap().is_none());
    }
}
