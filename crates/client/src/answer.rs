//! An answer of the server.

use std::time::Duration;

use api::client::{Problem, TokenError};
use reqwest::{
    Response,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER},
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;

use crate::error::{Error, Refusal};

/// The largest body that is taken. The largest that the server sends is a page of audit events, a few hundred KiB.
const MAX_BODY: usize = 16 << 20;
/// How much of a foreign body an error shows, in characters.
const MAX_EXCERPT: usize = 80;

/// An answer of the API, not an error.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// Reads all of a response; an error of the server becomes an error here.
    pub(crate) async fn read(
        response: Response,
        attempts: u32,
        server: &str,
    ) -> Result<Self, Error> {
        let mut response = response;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|source| Error::Network {
            url: server.to_owned(),
            source,
        })? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Error::TooLarge(MAX_BODY));
            }
            body.extend_from_slice(&chunk);
        }
        let answer = Self {
            status,
            headers,
            body,
        };
        if (200..300).contains(&status) {
            Ok(answer)
        } else {
            Err(answer.error(attempts))
        }
    }

    fn error(&self, attempts: u32) -> Error {
        let problem = match self.token_error() {
            Some(problem) => Ok(problem),
            None => serde_json::from_slice::<Problem>(&self.body),
        };
        match problem {
            Ok(problem) => Error::Refused(Box::new(Refusal {
                problem,
                retry_after: self.retry_after(),
                attempts,
            })),
            Err(_) => self.not_the_api(),
        }
    }

    /// An error of the exchange of tokens, which is OAuth's, as a problem document.
    fn token_error(&self) -> Option<Problem> {
        let error: TokenError = serde_json::from_slice(&self.body).ok()?;
        if error.error.is_empty() {
            return None;
        }
        let problem = json!({
            "type": "about:blank", "title": "The token is not exchanged", "status": self.status,
            "detail": error.error_description, "code": error.error,
            "request_id": self.header("x-request-id").unwrap_or_default(),
        });
        serde_json::from_value(problem).ok()
    }

    fn not_the_api(&self) -> Error {
        Error::NotTheApi {
            status: self.status,
            content_type: self.content_type().to_owned(),
            excerpt: excerpt(&String::from_utf8_lossy(&self.body)),
            retry_after: self.retry_after(),
        }
    }

    /// The HTTP status, 2xx.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let name: HeaderName = name.parse().ok()?;
        self.headers.get(name)?.to_str().ok()
    }

    /// For how long the server asks to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        seconds.trim().parse().ok().map(Duration::from_secs)
    }

    /// The body as it came.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The type of the body.
    #[must_use]
    pub fn content_type(&self) -> &str {
        self.headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON, or not of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let is_json = self.content_type().split(';').next().is_some_and(|kind| {
            let kind = kind.trim();
            kind == "application/json" || kind.ends_with("+json")
        });
        if !is_json {
            return Err(self.not_the_api());
        }
        serde_json::from_slice(&self.body).map_err(Error::Unreadable)
    }

    /// That the call was done, whatever else the answer says.
    pub(crate) fn done(&self) -> Result<(), Error> {
        if self.status == 204 {
            Ok(())
        } else {
            self.json::<IgnoredAny>().map(drop)
        }
    }
}

/// The beginning of the text of a page, in one line.
fn excerpt(body: &str) -> String {
    let mut text = String::new();
    let mut rest = body;
    // Tags go, and what stands in a script or a style sheet with them.
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        let hidden = ["script", "style"].into_iter().find(|name| {
            tag.get(..name.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(name))
        });
        let end = hidden.map_or_else(|| ">".to_owned(), |name| format!("</{name}>"));
        rest = tag.split_once(&*end).map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    let mut short: String = line
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_EXCERPT)
        .collect();
    if line.chars().nth(MAX_EXCERPT).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expect: &str) {
        assert_eq!(excerpt(body), expect);
    }

    #[test]
    fn an_excerpt_is_what_a_reader_of_the_page_sees() {
        check("", "");
        check(
            "<html><head><title>502 Bad\n Gateway</title></head>",
            "502 Bad Gateway",
        );
        check(
            "<style>a{}</style><p>Log in</p><script>x()</script>",
            "Log in",
        );
        check("a < b", "a");
        check("\u{1b}[31mred", "[31mred");
        assert_eq!(
            excerpt(&"word ".repeat(100)).chars().count(),
            MAX_EXCERPT + 1
        );
    }
}
