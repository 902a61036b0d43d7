//! The preference `wait` of the header `Prefer`, RFC 7240.

/// The longest that a client can ask to wait, in seconds: less than the 60 seconds after which load
/// balancers give up on an answer.
pub const MAX_WAIT: u32 = 50;

/// The longest that a client can ask to wait for the receipt of a revocation, in seconds.
pub const MAX_RECEIPT_WAIT: u32 = 30;

/// For how many seconds the client would wait for a better answer, [`MAX_WAIT`] at the most; `None`
/// when it does not say so in a form that the standard knows. `headers` are all headers of this name in
/// their order.
///
/// What has no known form is ignored, as the standard wants it, and the first `wait` outweighs others.
pub fn preferred_wait<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<u32> {
    let preference = headers
        .into_iter()
        .flat_map(|header| split(header, ','))
        .filter_map(|preference| split(preference, ';').first().copied())
        .map(|preference| match preference.split_once('=') {
            Some((name, value)) => (name.trim(), value.trim()),
            None => (preference.trim(), ""),
        })
        .find(|(name, _)| name.eq_ignore_ascii_case("wait"))?;
    seconds(unquoted(preference.1))
}

/// The parts of a text between separators that do not stand in a quoted string.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|character| {
        let plain = !escaped;
        escaped = quoted && plain && character == '\\';
        if plain && character == '"' {
            quoted = !quoted;
        }
        !quoted && character == separator
    })
    .collect()
}

/// A value without the quotes that may stand around it.
fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value)
}

fn seconds(digits: &str) -> Option<u32> {
    let well_formed = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too long to be read is too long to wait.
    well_formed.then(|| {
        digits
            .parse()
            .map_or(MAX_WAIT, |wait: u32| wait.min(MAX_WAIT))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[&str], expect: Option<u32>) {
        assert_eq!(
            preferred_wait(headers.iter().copied()),
            expect,
            "{headers:?}"
        );
    }

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        check(&["wait=30"], Some(30));
        check(&["wait=0"], Some(0));
        check(&["Wait = 30"], Some(30));
        check(&["wait=\"30\""], Some(30));
        check(&["respond-async, wait=10"], Some(10));
        check(&["respond-async", "wait=10"], Some(10));
        check(
            &["respond-async;x=1;y, wait=10;foo=\"a,b\", return=minimal"],
            Some(10),
        );
        check(&["foo=\"a, wait=5\", wait=7"], Some(7));
        check(&["foo=\"a\\\", wait=5\", wait=7"], Some(7));
        check(&[], None);
        check(&["return=minimal"], None);
        check(&["await=1", "wait-for=2"], None);
    }

    #[test]
    fn the_first_wait_counts_and_none_is_longer_than_balancers_allow() {
        check(&["wait=5, wait=9"], Some(5));
        check(&["wait=5", "wait=9"], Some(5));
        check(&["wait=50"], Some(50));
        check(&["wait=51"], Some(50));
        check(&["wait=99999999999999999999"], Some(50));
    }

    #[test]
    fn what_is_malformed_is_ignored() {
        for header in [
            "wait", "wait=", "wait=x", "wait=-1", "wait=1.5", "wait=1s", "wait=\"", "wait=1 2",
        ] {
            check(&[header], None);
        }
        check(&["wait=x, wait=9"], None);
        check(&["\"wait=9"], None);
        check(&[", ,;,"], None);
    }
}
