//! Reports of leaked tokens.

use api_macros::{Request, Response};
use ids::Name;
use keys::{LeakLocation, LeakUrl, PartnerKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use utoipa::openapi::Ref;
use zeroize::Zeroizing;

use crate::{
    BodyError, FieldError, KeyView, Secret,
    wire::{
        AnySchema, Components, FromJson, LeakLabel, LeakedText, Read, RequestBody, WireType,
        described, list, string,
    },
};

/// How many tokens one report has at the most.
const MAX_TOKENS: usize = 1000;
/// What a report by GitHub calls a token that is ours.
pub const TRUE_POSITIVE: &str = "true_positive";
/// What it calls one that is not.
pub const FALSE_POSITIVE: &str = "false_positive";

/// Tokens that were found somewhere. What they are is not told.
#[derive(Request)]
pub struct LeakReport {
    /// The tokens, each as it was found: 1 to 1000.
    tokens: LeakedTokens,
    /// What has found them, such as the name of a scanner.
    #[api(example = "acme-scanner")]
    source: Option<Name>,
    /// Where they were found. It is shown to the partners of the keys as text, and not followed.
    url: Option<LeakUrl>,
}

impl LeakReport {
    /// The tokens, and where they were found.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Zeroizing<String>>, LeakLocation) {
        let location = LeakLocation {
            source: self.source,
            url: self.url,
        };
        (self.tokens.0, location)
    }
}

/// Texts that may be tokens.
pub(crate) struct LeakedTokens(Vec<Zeroizing<String>>);

impl WireType for LeakedTokens {
    fn schema(_: &mut Components) -> AnySchema {
        list(string(), Some(1), Some(MAX_TOKENS)).into()
    }

    fn example() -> Value {
        json!(["mol_pk_05Kc1YtE0OgkAb3vTq7Zr906QnLw2xXb8HdRjUfMs4PyGa1cVe"])
    }
}

impl<C> FromJson<C> for LeakedTokens {
    fn from_json(value: Value, _: &C) -> Read<Self> {
        let Value::Array(items) = value else {
            return Err(FieldError::here("must be a list of strings"));
        };
        if items.is_empty() || items.len() > MAX_TOKENS {
            let detail =
                format!("must have 1 to {MAX_TOKENS} tokens; send more in several reports");
            return Err(FieldError::here(detail));
        }
        let mut tokens = Vec::with_capacity(items.len());
        for (position, item) in items.into_iter().enumerate() {
            let Value::String(text) = item else {
                let pointer = format!("/{position}");
                return Err(vec![FieldError::new(pointer, "must be a string")]);
            };
            tokens.push(Zeroizing::new(text));
        }
        Ok(Self(tokens))
    }
}

/// A token that GitHub has found. It may have further members.
#[derive(Clone, Deserialize)]
pub struct GithubLeak {
    /// The token.
    pub token: Secret,
    /// The name of its kind, as it was agreed with GitHub.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it was found; may be empty.
    #[serde(default)]
    pub url: Option<String>,
    /// In what it was found, such as `content` or `commit`.
    #[serde(default)]
    pub source: Option<String>,
}

/// The tokens that GitHub has found.
pub struct GithubLeaks;

impl GithubLeaks {
    /// Reads the body of a report.
    ///
    /// # Errors
    /// When it is no list of tokens.
    pub fn read(body: &[u8]) -> Result<Vec<GithubLeak>, BodyError> {
        // The parser's own message could show a token.
        serde_json::from_slice(body).map_err(|error| {
            BodyError::Syntax(format!(
                "The body is not a JSON array of tokens, at line {} column {}. Send \
                 [{{\"token\", \"type\", \"url\", \"source\"}}].",
                error.line(),
                error.column()
            ))
        })
    }
}

impl WireType for GithubLeaks {
    fn schema(components: &mut Components) -> AnySchema {
        let leaks = list(GithubLeakView::schema(components), None, None);
        let description = "The tokens that GitHub has found.".to_owned();
        components.insert(Self::name(), described(leaks.into(), description));
        Ref::from_schema_name(Self::name()).into()
    }

    fn example() -> Value {
        json!([GithubLeakView::example()])
    }
}

impl RequestBody for GithubLeaks {
    fn name() -> String {
        "GithubLeaks".to_owned()
    }
}

/// A token that GitHub has found.
#[derive(Response)]
#[api(name = "GithubLeak")]
#[expect(dead_code, reason = "it describes what serde reads")]
pub struct GithubLeakView {
    /// The token.
    #[api(as = LeakedText)]
    token: String,
    /// The name of its kind, as it was agreed with GitHub.
    #[api(example = "molecule_partner_key")]
    r#type: String,
    /// Where it was found; may be empty.
    #[api(
        example = "https://github.com/octocat/Hello-World/blob/12345600b9cbe38a219f39a9941c9319b600c002/foo/bar.txt"
    )]
    url: String,
    /// In what it was found.
    #[api(example = "content")]
    source: String,
}

/// What a token is that GitHub has found.
#[derive(Clone, Serialize, Response)]
#[api(name = "GithubVerdict")]
pub struct GithubVerdictView {
    /// The token.
    #[api(as = LeakedText)]
    pub token_raw: String,
    /// The name of its kind, as it was sent.
    #[api(example = "molecule_partner_key")]
    pub token_type: String,
    /// Whether it is a key of this server.
    #[api(as = LeakLabel)]
    pub label: &'static str,
}

/// Where a key was found.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Leak")]
pub struct LeakView {
    /// What has found it, as its reporter says.
    #[api(example = "acme-scanner")]
    source: Option<String>,
    /// Where it was found, as its reporter says. Don't trust it: anybody may have written it.
    url: Option<String>,
}

/// A key whose secret was found where it does not belong.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "LeakedPartnerKey")]
pub struct LeakedKeyView {
    /// Where it was found.
    leak: LeakView,
    #[serde(flatten)]
    view: KeyView,
}

impl LeakedKeyView {
    /// The key with its status at `now`.
    #[must_use]
    pub fn new(key: PartnerKey, location: &LeakLocation, now: OffsetDateTime) -> Self {
        Self {
            leak: LeakView {
                source: location.source.as_ref().map(ToString::to_string),
                url: location.url.as_ref().map(|url| url.as_str().to_owned()),
            },
            view: KeyView::new(key, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request as _;

    #[track_caller]
    fn check(body: &Value, pointers: &[&str]) {
        let text = body.to_string();
        let actual: Vec<_> = match LeakReport::from_body(text.as_bytes(), &()) {
            Ok(_) => Vec::new(),
            Err(BodyError::Syntax(text)) => panic!("{text}"),
            Err(BodyError::Invalid(errors)) => errors.into_iter().map(|e| e.pointer).collect(),
        };
        assert_eq!(actual, pointers, "{text}");
    }

    #[test]
    fn one_to_a_thousand_tokens_of_any_form() {
        check(&json!({"tokens": ["x"]}), &[]);
        check(&json!({"tokens": vec![""; 1000]}), &[]);
        check(&json!({"tokens": vec!["x"; 1001]}), &["/tokens"]);
        check(&json!({"tokens": []}), &["/tokens"]);
        check(&json!({"tokens": "x"}), &["/tokens"]);
        check(&json!({"tokens": null}), &["/tokens"]);
        check(&json!({"tokens": ["x", 7]}), &["/tokens/1"]);
        check(&json!({}), &["/tokens"]);
        check(&json!({"tokens": ["x"], "token": "x"}), &["/token"]);
    }

    #[test]
    fn source_and_url_are_bounded_text() {
        let with = |source: &str, url: &str| json!({"tokens": ["x"], "source": source, "url": url});
        check(&with("scanner", "https://example.com/x"), &[]);
        check(&with("", ""), &["/source", "/url"]);
        check(&with("a\nb", "a\u{0}"), &["/source", "/url"]);
        check(
            &with(&"x".repeat(201), &"x".repeat(2049)),
            &["/source", "/url"],
        );
        check(&with(&"x".repeat(200), &"x".repeat(2048)), &[]);
    }

    #[test]
    fn githubs_own_example_is_read() {
        let body = br#"[{"token":"NMIfyYncKcRALEXAMPLE","type":"mycompany_api_token","url":"https://github.com/octocat/Hello-World/blob/12345600b9cbe38a219f39a9941c9319b600c002/foo/bar.txt","source":"content"}]"#;
        let Ok(leaks) = GithubLeaks::read(body) else {
            panic!("it is read")
        };
        assert_eq!(leaks[0].kind, "mycompany_api_token");
        assert_eq!(leaks[0].source.as_deref(), Some("content"));
        // An older one, and one with something new.
        let body = br#"[{"token":"some_token","type":"some_type","url":"some_url"},{"token":"t","type":"y","url":"","source":"commit","new":1}]"#;
        assert_eq!(GithubLeaks::read(body).map(|leaks| leaks.len()), Ok(2));
        for wrong in [
            &b"{}"[..],
            b"",
            b"[1]",
            br#"[{"token":"x"}]"#,
            br#"["secret"]"#,
        ] {
            let Err(BodyError::Syntax(text)) = GithubLeaks::read(wrong) else {
                panic!("{wrong:?}")
            };
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
