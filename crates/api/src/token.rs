//! The exchange of tokens: RFC 8693, with the errors of RFC 6749, section 5.2.

use std::marker::PhantomData;

use api_macros::{Request, Response};
use ids::{KeyId, TrustRuleId};
use keys::PlainKey;
use scopes::ScopeSet;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    FieldError,
    wire::{
        AnySchema, ClientType, Components, FromJson, GrantType, IssuedTokenType, Object, Read,
        Request as _, ScopeText, SecretKey, SubjectToken, SubjectTokenType, TokenErrorCode,
        TokenType, Whole, WireType, text,
    },
};

/// The only grant.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The types of tokens that are taken.
const TOKEN_TYPES: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
];
/// How many parameters are read.
const MAX_PARAMETERS: usize = 32;

/// Types of which a form holds a text.
macro_rules! form_texts {
    ($($name:ident;)*) => {$(
        impl<C> FromJson<C> for FormText<$name> {
            fn from_json(value: Value, _: &C) -> Read<Self> {
                text(value).map(|text| Self(text, PhantomData))
            }
        }
    )*};
}

/// A text with the schema of another type.
struct FormText<T>(String, PhantomData<T>);

impl<T: WireType> WireType for FormText<T> {
    fn schema(components: &mut Components) -> AnySchema {
        T::schema(components)
    }

    fn example() -> Value {
        T::example()
    }
}

impl<T> ClientType for FormText<T> {
    type As = String;
}

form_texts! {
    GrantType;
    SubjectTokenType;
    SubjectToken;
    ScopeText;
    TrustRuleId;
}

/// A token to exchange, as a form.
#[derive(Request)]
pub struct TokenRequest {
    /// Always `urn:ietf:params:oauth:grant-type:token-exchange`.
    grant_type: FormText<GrantType>,
    /// The token that the provider has signed for this job: a JWT of up to 16 KiB.
    subject_token: FormText<SubjectToken>,
    /// Whether the provider calls it a JWT or an ID token; both are taken the same.
    subject_token_type: FormText<SubjectTokenType>,
    /// The trust rule of the pipeline.
    trust_rule: FormText<TrustRuleId>,
    /// The scopes that the key is to have, separated by spaces: some of the rule's. Without it, all of them.
    scope: Option<FormText<ScopeText>>,
}

/// Why a form is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRequestError {
    /// It asks for another grant.
    UnsupportedGrantType,
    /// It is wrong in another way, which the text tells.
    Invalid(String),
}

impl TokenRequest {
    /// Reads a form.
    ///
    /// # Errors
    /// When a parameter is missing, unknown, repeated or wrong.
    pub fn from_form(body: &[u8]) -> Result<Self, TokenRequestError> {
        let invalid = |text: &str| TokenRequestError::Invalid(text.to_owned());
        if std::str::from_utf8(body).is_err() {
            return Err(invalid("the body is not a form in UTF-8"));
        }
        let mut members = Map::new();
        for (n, (name, value)) in form_urlencoded::parse(body).enumerate() {
            if n >= MAX_PARAMETERS {
                return Err(invalid("there are too many parameters"));
            }
            // One without a value counts as left out (RFC 6749, section 3.2), and not twice even so.
            let value = Some(value.into_owned()).filter(|value| !value.is_empty());
            if members.insert(name.into_owned(), value.into()).is_some() {
                return Err(invalid("a parameter is repeated; send each once"));
            }
        }
        let grant = members.get("grant_type").and_then(Value::as_str);
        if grant.is_some_and(|grant| grant != GRANT) {
            return Err(TokenRequestError::UnsupportedGrantType);
        }
        let read = Object::of_value(Value::Object(members))
            .and_then(|object| object.finish(|object| Self::read(object, &())));
        let request = read.map_err(|errors| TokenRequestError::Invalid(first(&errors)))?;
        debug_assert_eq!(request.grant_type.0, GRANT, "checked before all others");
        if !TOKEN_TYPES.contains(&request.subject_token_type.0.as_str()) {
            let detail = format!("subject_token_type must be {}", TOKEN_TYPES.join(" or "));
            return Err(TokenRequestError::Invalid(detail));
        }
        Ok(request)
    }

    /// The rule; `None` for a text that is no rule's id.
    #[must_use]
    pub fn trust_rule(&self) -> Option<TrustRuleId> {
        self.trust_rule.0.parse().ok()
    }

    /// The scopes that are asked for; an error for a text that names none.
    #[must_use]
    pub fn scopes(&self) -> Option<Result<ScopeSet, String>> {
        let scope = self.scope.as_ref()?;
        let unknown = "scope names a scope that there is not; separate names by single spaces";
        let scopes = ScopeSet::parse_list(&scope.0).ok();
        let scopes = scopes.filter(|scopes| !scopes.is_empty());
        Some(scopes.ok_or_else(|| unknown.to_owned()))
    }

    /// The token.
    #[must_use]
    pub fn into_token(self) -> String {
        self.subject_token.0
    }
}

/// The first error, as a text without quotes.
fn first(errors: &[FieldError]) -> String {
    let first = errors.first().map(|error| {
        let name = error.pointer.trim_start_matches('/');
        let detail = match error.detail.as_str() {
            "can't be null" => "is empty",
            other if other.starts_with("is unknown") => {
                return "a parameter is unknown; there are grant_type, subject_token, subject_token_type, trust_rule \
                        and scope"
                    .to_owned();
            }
            other => other,
        };
        format!("the parameter {name} {detail}")
    });
    first.unwrap_or_else(|| "the form is incomplete".to_owned())
}

/// The key that a token was exchanged for.
#[derive(Serialize, Response)]
#[api(name = "ExchangedToken")]
pub struct TokenView<'a> {
    /// The secret of the key. It is shown only once.
    #[api(as = SecretKey)]
    access_token: &'a str,
    /// Always `urn:ietf:params:oauth:token-type:access_token`.
    #[api(as = IssuedTokenType)]
    issued_token_type: &'static str,
    /// How the key is used: as a bearer token.
    #[api(as = TokenType)]
    token_type: &'static str,
    /// How long the key lasts, in seconds.
    #[api(as = Whole<0, 3600>, example = 900)]
    expires_in: i64,
    /// The scopes of the key, separated by spaces.
    #[api(as = ScopeText)]
    scope: String,
    /// The id of the key.
    key_id: KeyId,
}

impl<'a> TokenView<'a> {
    /// A key with its secret.
    #[must_use]
    pub fn new(secret: &'a PlainKey, expires_in: i64, scopes: ScopeSet, key_id: KeyId) -> Self {
        Self {
            access_token: secret.expose(),
            issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
            token_type: "Bearer",
            expires_in,
            scope: scopes.to_string(),
            key_id,
        }
    }
}

/// Why a token is not exchanged (RFC 6749, section 5.2).
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "TokenError")]
pub struct TokenErrorView {
    /// The error.
    #[api(as = TokenErrorCode)]
    pub error: &'static str,
    /// What is wrong, and what to do next. It names the claim that does not match, never the value that is wanted.
    #[api(example = "the claim ref does not match the rule")]
    pub error_description: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=a.b.c\
                        &subject_token_type=urn:ietf:params:oauth:token-type:jwt&trust_rule=tru_01J9ZK8Q1R2S3T4V5W6X7Y8Z9A";

    #[track_caller]
    fn check(form: &str, part: &str) {
        match TokenRequest::from_form(form.as_bytes()) {
            Ok(_) => assert_eq!(part, "", "{form}"),
            Err(TokenRequestError::UnsupportedGrantType) => assert_eq!(part, "grant", "{form}"),
            Err(TokenRequestError::Invalid(text)) => {
                assert!(!part.is_empty() && text.contains(part), "{form}: {text}");
                // RFC 6749, section 5.2.
                let fits = |c: char| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
                assert!(text.chars().all(fits), "{text}");
            }
        }
    }

    #[test]
    fn a_form_is_read_and_every_fault_is_refused() {
        check(GOOD, "");
        check(&format!("{GOOD}&scope=orgs:list+orgs:create"), "");
        check(&format!("{GOOD}&scope="), "");
        check(&format!("{GOOD}&scope=&scope="), "repeated");
        check(&format!("{GOOD}&audience=x"), "unknown");
        check(&format!("{GOOD}&trust_rule=x"), "repeated");
        check(&GOOD.replace("a.b.c", ""), "subject_token is empty");
        check(&GOOD.replace("&trust_rule", "&x"), "missing");
        check(&GOOD.replace("token-exchange", "x"), "grant");
        check(
            &GOOD.replace("type:jwt", "type:saml2"),
            "subject_token_type",
        );
        check("", "grant_type");
        check(&GOOD.replace("grant_type=", "a="), "missing");
        let many: String = (0..40).map(|n| format!("p{n}=x&")).collect();
        check(&many, "too many");
        assert!(TokenRequest::from_form(b"\xff=1").is_err());
    }

    #[test]
    fn scopes_are_separated_by_spaces() {
        let scopes = |scope: &str| {
            let form = format!("{GOOD}&scope={scope}");
            TokenRequest::from_form(form.as_bytes()).unwrap().scopes()
        };
        assert!(scopes("").is_none());
        assert_eq!(
            scopes("orgs:list+orgs:create")
                .unwrap()
                .unwrap()
                .iter()
                .count(),
            2
        );
        assert!(scopes("orgs:list,orgs:create").unwrap().is_err());
        assert!(scopes("orgs:fly").unwrap().is_err());
    }
}
