//! The `Idempotency-Key` header, draft-ietf-httpapi-idempotency-key-header-07.

/// The longest key, in characters.
const MAX_CHARACTERS: usize = 255;

/// The header has no form that names a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Idempotency-Key must be 1 to 255 visible ASCII characters, in quotes or bare, such as a UUID"
)]
pub struct InvalidIdempotencyKey;

/// Reads the key: a quoted string (RFC 9651, section 3.3.3), or the bare form that many clients send.
///
/// # Errors
/// When the header has another form.
pub fn idempotency_key(header: &str) -> Result<String, InvalidIdempotencyKey> {
    let text = header.trim_matches([' ', '\t']);
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest)?,
        None if text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"') =>
        {
            text.to_owned()
        }
        None => return Err(InvalidIdempotencyKey),
    };
    let fits = (1..=MAX_CHARACTERS).contains(&key.len());
    if fits {
        Ok(key)
    } else {
        Err(InvalidIdempotencyKey)
    }
}

/// The rest of a quoted string after its first quote.
fn unquoted(rest: &str) -> Result<String, InvalidIdempotencyKey> {
    let mut key = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next() {
            Some('"') if characters.as_str().is_empty() => return Ok(key),
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                Some(_) | None => return Err(InvalidIdempotencyKey),
            },
            Some(plain @ ' '..='~') if plain != '"' => key.push(plain),
            Some(_) | None => return Err(InvalidIdempotencyKey),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expect: Option<&str>) {
        assert_eq!(
            idempotency_key(header).ok().as_deref(),
            expect,
            "{header:?}"
        );
    }

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        check(
            "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"",
            Some("8e03978e-40d5-43e8-bc93-6894a57f9324"),
        );
        check(
            "8e03978e-40d5-43e8-bc93-6894a57f9324",
            Some("8e03978e-40d5-43e8-bc93-6894a57f9324"),
        );
        check(r#""a \"b\" \\""#, Some(r#"a "b" \"#));
        check(&"x".repeat(255), Some(&"x".repeat(255)));
    }

    #[test]
    fn whatever_else_is_refused() {
        for header in [
            "", "\"\"", "\"a", "a\"", "\"a\"b", "a b", "é", "\"é\"", r#""\a""#, "\"a\\",
        ] {
            check(header, None);
        }
        check(&"x".repeat(256), None);
    }
}
