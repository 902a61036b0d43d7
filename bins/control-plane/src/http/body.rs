//! The body of a request, bounded in size and time.

use std::rc::Rc;

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

use super::{
    connection::Exchange,
    pacing::{Pacing, Source},
    problem_details::{HandlerError, ProblemDetails},
};

/// The largest body that is read.
pub const MAX_BODY: usize = 64 * 1024;
/// How much of a body is read before its source waits for its turn.
const PACED_BYTES: usize = 64 * 1024;
/// How much of a refused body is read and thrown away: a client that is cut off while it sends may never
/// see the response.
const MAX_DRAINED: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub enum Body {
    Whole(Bytes),
    /// More than [`MAX_BODY`].
    TooLarge,
    /// It ended early or did not come in time.
    Broken,
}

/// The body of a request. Nothing of it is read from the connection before somebody asks for it. The
/// connection bounds how long it may take.
pub struct RequestBody {
    payload: Payload,
    exchange: Rc<Exchange>,
}

impl RequestBody {
    pub const fn new(payload: Payload, exchange: Rc<Exchange>) -> Self {
        Self { payload, exchange }
    }

    pub const fn exchange(&self) -> &Rc<Exchange> {
        &self.exchange
    }

    pub async fn read(mut self, pacing: &Pacing, source: impl FnOnce() -> Source) -> Body {
        self.read_up_to(MAX_BODY, pacing, source).await
    }

    /// Reads a body of up to so many bytes. A long one waits until its source may have it worked on.
    pub async fn read_up_to(
        &mut self,
        max: usize,
        pacing: &Pacing,
        source: impl FnOnce() -> Source,
    ) -> Body {
        // Most calls have none.
        if let Payload::None = self.payload {
            return Body::Whole(Bytes::new());
        }
        let mut body = BytesMut::new();
        let end = self
            .each_chunk((pacing, source()), max, |chunk, seen| {
                if seen <= max {
                    body.extend_from_slice(chunk);
                } else {
                    body = BytesMut::new();
                }
            })
            .await;
        match end {
            End::Whole(seen) if seen <= max => Body::Whole(body.freeze()),
            End::Whole(_) | End::TooLarge => Body::TooLarge,
            End::Broken => Body::Broken,
        }
    }

    /// Reads the body and throws it away, as fast as its source may have it read.
    pub async fn drain(mut self, pacing: &Pacing, source: Source) {
        if !matches!(self.payload, Payload::None) {
            self.each_chunk((pacing, source), MAX_BODY, |_, _| {}).await;
        }
    }

    /// Passes each chunk on, with the number of bytes so far.
    async fn each_chunk(
        &mut self,
        (pacing, source): (&Pacing, Source),
        max: usize,
        mut take: impl FnMut(&[u8], usize),
    ) -> End {
        self.exchange.want_body();
        let (mut seen, mut paced) = (0_usize, 0_usize);
        let end = loop {
            match self.payload.next().await {
                None => break End::Whole(seen),
                Some(Ok(chunk)) => {
                    seen = seen.saturating_add(chunk.len());
                    take(&chunk, seen);
                }
                Some(Err(_)) if seen > max => break End::TooLarge,
                Some(Err(_)) => break End::Broken,
            }
            if seen > MAX_DRAINED {
                break End::TooLarge;
            }
            if seen - paced >= PACED_BYTES {
                pacing.wait_for_body(source, seen - paced).await;
                paced = seen;
            }
        };
        pacing.wait_for_body(source, seen - paced).await;
        end
    }
}

enum End {
    /// The number of bytes.
    Whole(usize),
    TooLarge,
    Broken,
}

/// A body that can be read as JSON: it has that type, and is whole and of up to `max` bytes.
pub fn acceptable(
    method: &Method,
    headers: &HeaderMap,
    body: Body,
    max: usize,
) -> Result<Bytes, HandlerError> {
    let refuse = |code, detail: String| Err(ProblemDetails::new(code, detail).into());
    if let Err(code) = check_type(method, headers) {
        let detail = "The body must be JSON. Send Content-Type: application/json, or no Content-Type at all \
                      (curl -d adds one of its own; use --json).";
        return refuse(code, detail.to_owned());
    }
    match body {
        Body::Whole(bytes) => Ok(bytes),
        Body::TooLarge => {
            let detail = format!("The body is larger than {} KiB. Send less.", max / 1024);
            refuse(ErrorCode::PayloadTooLarge, detail)
        }
        Body::Broken => {
            let detail = "The body ended early, is not framed as its headers say, or took longer than 15 seconds. \
                          Send the request again.";
            refuse(ErrorCode::InvalidRequest, detail.to_owned())
        }
    }
}

/// A request without a Content-Type is taken as JSON.
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
