//! The body of a request, bounded in size and time.

use std::time::Duration;

use actix_web::{
    dev::Payload,
    http::{
        Method,
        header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap},
    },
    web::{Bytes, BytesMut},
};
use api::ErrorCode;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

/// The largest body that is read.
const MAX_BODY: usize = 64 * 1024;
/// How much of a refused body is read and thrown away: a client that is cut off while it still sends
/// may never see the answer.
const MAX_DRAINED: usize = 16 * 1024 * 1024;
/// How long a body may take.
const MAX_TIME: Duration = Duration::from_secs(15);

/// What came as the body.
#[derive(Debug)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// More than [`MAX_BODY`].
    TooLarge,
    /// It broke off or did not come in time.
    Broken,
}

/// Reads the body.
pub async fn read(mut payload: Payload) -> Body {
    // Most calls have none, and need no timer.
    if let Payload::None = payload {
        return Body::Whole(Bytes::new());
    }
    let deadline = Instant::now() + MAX_TIME;
    let mut body = BytesMut::new();
    let mut seen = 0_usize;
    loop {
        match timeout_at(deadline, payload.next()).await {
            Ok(None) if seen > MAX_BODY => return Body::TooLarge,
            Ok(None) => return Body::Whole(body.freeze()),
            Ok(Some(Ok(chunk))) => {
                seen = seen.saturating_add(chunk.len());
                if seen <= MAX_BODY {
                    body.extend_from_slice(&chunk);
                } else if seen > MAX_DRAINED {
                    return Body::TooLarge;
                }
            }
            Ok(Some(Err(_))) => return Body::Broken,
            Err(_elapsed) if seen > MAX_BODY => return Body::TooLarge,
            Err(_elapsed) => return Body::Broken,
        }
    }
}

/// Reads the body and throws it away.
pub async fn drain(payload: Payload) {
    read(payload).await;
}

/// Whether the body is in a form that is understood; a request without a type is taken as JSON.
pub fn check_type(method: &Method, headers: &HeaderMap) -> Result<(), ErrorCode> {
    if ![Method::POST, Method::PUT, Method::PATCH].contains(method) {
        return Ok(());
    }
    let encoded = headers
        .get_all(CONTENT_ENCODING)
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let mut types = headers.get_all(CONTENT_TYPE);
    let json = match (types.next(), types.next()) {
        (None, _) => true,
        (Some(value), None) => value.to_str().is_ok_and(|value| is_json(method, value)),
        (Some(_), Some(_)) => false,
    };
    if json && !encoded {
        Ok(())
    } else {
        Err(ErrorCode::UnsupportedMediaType)
    }
}

fn is_json(method: &Method, value: &str) -> bool {
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    let essence = essence.trim().to_ascii_lowercase();
    let known = essence == "application/json"
        || (*method == Method::PATCH && essence == "application/merge-patch+json");
    // JSON is UTF-8 (RFC 8259, section 8.1); another charset would be read wrongly.
    let charset = parameters.split(';').filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    });
    known
        && charset
            .into_iter()
            .all(|charset| charset.eq_ignore_ascii_case("utf-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: Method, value: &str, fits: bool) {
        assert_eq!(is_json(&method, value), fits, "{value:?}");
    }

    #[test]
    fn json_and_for_a_patch_merge_patches() {
        check(Method::POST, "application/json", true);
        check(Method::POST, "Application/JSON; charset=\"UTF-8\"", true);
        check(Method::POST, "application/json; charset=latin1", false);
        check(Method::POST, "application/x-www-form-urlencoded", false);
        check(Method::POST, "text/json", false);
        check(Method::POST, "application/merge-patch+json", false);
        check(Method::PATCH, "application/merge-patch+json", true);
        check(Method::POST, "", false);
    }
}
