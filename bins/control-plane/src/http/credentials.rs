//! The credential of a request: one bearer token in one `Authorization` header, RFC 6750.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use keys::{KeyPrefix, KeyPrefixes, PlainKey};

/// Prefixes that keys may have had, whatever the settings name.
const OUR_PREFIXES: [&str; 2] = ["mol_pk_", "mol_ak_"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCredential {
    Missing,
    /// Malformed or in the wrong place; the text says what is wrong.
    Misplaced(&'static str),
    /// A key of ours that was cut short or mistyped.
    Malformed,
}

pub fn bearer(
    headers: &HeaderMap,
    query: &str,
    prefixes: &KeyPrefixes,
) -> Result<PlainKey, NoCredential> {
    if query_holds_a_token(query, prefixes) {
        return Err(NoCredential::Misplaced(
            "The URL contains a key, and URLs are logged. Have this key revoked, and send the new one in the \
             Authorization header.",
        ));
    }
    let mut values = headers.get_all(AUTHORIZATION);
    let Some(value) = values.next() else {
        return Err(NoCredential::Missing);
    };
    if values.next().is_some() {
        return Err(NoCredential::Misplaced(
            "There are two Authorization headers. Send one.",
        ));
    }
    let Ok(value) = value.to_str() else {
        return Err(NoCredential::Misplaced(
            "The Authorization header has bytes that no key has. Copy the key again.",
        ));
    };
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    let token = token.trim_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(NoCredential::Missing);
    }
    if token.bytes().any(|byte| b" \t,".contains(&byte)) {
        return Err(NoCredential::Misplaced(
            "The Authorization header is malformed. Send Bearer, a space, then the key.",
        ));
    }
    prefixes.parse(token).map_err(|_| NoCredential::Malformed)
}

fn query_holds_a_token(query: &str, prefixes: &KeyPrefixes) -> bool {
    let is_a_token = |value: &str| {
        let own = prefixes.all().map(KeyPrefix::as_str);
        own.chain(OUR_PREFIXES)
            .any(|prefix| value.starts_with(prefix))
    };
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "access_token" || is_a_token(&value))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(values: &[&str], query: &str, expect: Result<(), &str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let retired = vec!["mol_pk_".parse().unwrap()];
        let prefixes = KeyPrefixes::new("acme_pk_".parse().unwrap(), retired).unwrap();
        let actual = match bearer(&headers, query, &prefixes) {
            Ok(_) => Ok(()),
            Err(NoCredential::Missing) => Err("missing"),
            Err(NoCredential::Misplaced(_)) => Err("misplaced"),
            Err(NoCredential::Malformed) => Err("malformed"),
        };
        assert_eq!(actual, expect, "{values:?} {query:?}");
    }

    #[test]
    fn one_bearer_token_in_one_header() {
        check(&["Bearer some-token"], "", Ok(()));
        check(&["bearer  some-token "], "limit=5", Ok(()));
        check(&[], "", Err("missing"));
        check(&["Bearer"], "", Err("missing"));
        check(&["Bearer "], "", Err("missing"));
        check(&["Basic c29tZQ=="], "", Err("missing"));
        check(&["Bearer a", "Bearer a"], "", Err("misplaced"));
        check(&["Bearer a b"], "", Err("misplaced"));
        check(&["Bearer a,b"], "", Err("misplaced"));
        check(&["Bearer mol_pk_short"], "", Err("malformed"));
        check(&["Bearer acme_pk_short"], "", Err("malformed"));
        check(&["Bearer other_pk_short"], "", Ok(()));
        check(
            &[&format!("Bearer {}", "x".repeat(300))],
            "",
            Err("malformed"),
        );
    }

    #[test]
    fn a_token_in_the_url_is_refused_whatever_else_comes() {
        check(&["Bearer some-token"], "access_token=x", Err("misplaced"));
        check(&[], "key=mol%5Fpk_abc", Err("misplaced"));
        check(&[], "cursor=mol_ak_abc", Err("misplaced"));
        check(&[], "cursor=acme_pk_abc", Err("misplaced"));
    }
}
