//! Hides secrets in texts that a provisioner has written for people: reasons of failures, and log lines.

use super::{OrgSecrets, ProvisionOutput, SecretValue};

/// What takes the place of a secret.
const MASK: &str = "[redacted]";
/// Shorter values, in characters, are left alone: they guard nothing, and most texts have them by chance.
const MIN_MASKED: usize = 3;
/// The shortest line, in characters, that is hidden on its own when a value has several.
const MIN_LINE: usize = 8;
/// Of an answer with more values than this whose secrets are not known, nothing is shown.
const MAX_VALUES: usize = 512;

/// Values that a text may not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretMask {
    values: Vec<SecretValue>,
    /// Whether whole texts are hidden.
    hides_all: bool,
}

impl SecretMask {
    /// Hides these secrets as well, also where they are written as in JSON, or only a line of one is.
    pub fn add(&mut self, secrets: &OrgSecrets) {
        for (_, value) in secrets.iter() {
            self.add_value(value.expose());
        }
    }

    /// Hides what an answer of a provisioner says is secret as well. Of an answer that can't be used nobody
    /// knows what is, so every string in it is taken for secret that is not the name of a member.
    pub fn add_answer(&mut self, answer: &[u8]) {
        match ProvisionOutput::parse(answer) {
            Ok(ProvisionOutput { secrets, .. }) => {
                if let Some(secrets) = secrets {
                    self.add(&secrets);
                }
            }
            Err(_) => {
                let text = String::from_utf8_lossy(answer);
                let literals = string_values(&text);
                self.hides_all |= literals.len() > MAX_VALUES;
                for literal in literals.into_iter().take(MAX_VALUES) {
                    let quoted = format!("\"{literal}\"");
                    let plain: Result<String, _> = serde_json::from_str(&quoted);
                    self.add_value(plain.as_deref().unwrap_or(literal));
                    self.add_text(literal);
                }
            }
        }
    }

    fn add_value(&mut self, value: &str) {
        self.add_text(value);
        let quoted = serde_json::Value::from(value).to_string();
        let escaped = quoted
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let escaped = escaped.unwrap_or_default();
        if escaped != value {
            self.add_text(escaped);
        }
        if value.contains(['\n', '\r']) {
            for line in value.lines().map(str::trim) {
                if line.chars().count() >= MIN_LINE {
                    self.add_text(line);
                }
            }
        }
    }

    fn add_text(&mut self, text: &str) {
        if text.chars().count() >= MIN_MASKED {
            self.values.push(SecretValue::new(text));
        }
    }

    /// The text with every secret in it replaced.
    #[must_use]
    pub fn apply(&self, text: &str) -> String {
        if self.hides_all && !text.is_empty() {
            return MASK.to_owned();
        }
        // Secrets may overlap, so the parts are found first.
        let mut parts: Vec<(usize, usize)> = Vec::new();
        for secret in &self.values {
            let secret = secret.expose();
            let found = text.match_indices(secret);
            parts.extend(found.map(|(at, _)| (at, at + secret.len())));
        }
        parts.sort_unstable();
        let (mut masked, mut end) = (String::with_capacity(text.len()), 0);
        for (from, to) in parts {
            if from >= end {
                masked.push_str(text.get(end..from).unwrap_or_default());
                masked.push_str(MASK);
            }
            end = end.max(to);
        }
        masked.push_str(text.get(end..).unwrap_or_default());
        masked
    }
}

/// The insides of the strings of a text that is more or less JSON, without the names of members. A string that
/// is cut off goes to the end.
fn string_values(text: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once('"') {
        let mut is_escaped = false;
        let end = after.find(|letter| {
            let is_end = letter == '"' && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            is_end
        });
        let (literal, behind) = match end.and_then(|end| after.split_at_checked(end)) {
            Some((literal, behind)) => (literal, behind.strip_prefix('"').unwrap_or_default()),
            None => (after, ""),
        };
        if !behind.trim_start().starts_with(':') {
            found.push(literal);
        }
        rest = behind;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn mask(values: &[&str]) -> SecretMask {
        let numbered = values.iter().enumerate();
        let secrets: BTreeMap<_, _> = numbered
            .map(|(n, value)| (format!("s{n}"), SecretValue::new(*value)))
            .collect();
        let mut mask = SecretMask::default();
        mask.add(&OrgSecrets::new(secrets));
        mask
    }

    #[track_caller]
    fn check(values: &[&str], text: &str, expect: &str) {
        assert_eq!(mask(values).apply(text), expect, "{values:?}");
    }

    #[test]
    fn every_secret_in_a_text_is_replaced() {
        check(&[], "no room", "no room");
        check(&["hunter2"], "hunter2", "[redacted]");
        check(
            &["hunter2", "s3cret"],
            "hunter2 and s3cret, hunter2",
            "[redacted] and [redacted], [redacted]",
        );
        check(&["héllo"], "é héllo é", "é [redacted] é");
    }

    #[test]
    fn secrets_that_overlap_or_hold_each_other_are_replaced_as_one() {
        check(&["abcd", "cdef"], "x abcdef y", "x [redacted] y");
        check(&["abcdef", "cde"], "abcdef", "[redacted]");
        check(&["abc"], "abcabc", "[redacted][redacted]");
        check(&["redacted", "hunter2"], "hunter2", "[redacted]");
    }

    #[test]
    fn a_secret_is_found_as_it_is_written_in_json_and_line_by_line() {
        check(&["a b\""], r#"{"p": "a b\""}"#, r#"{"p": "[redacted]"}"#);
        check(
            &["a\"b\\c"],
            r#"{"p": "a\"b\\c"}"#,
            r#"{"p": "[redacted]"}"#,
        );
        check(
            &["-----BEGIN\nMIIEvQIBADAN\nxy\n"],
            "bad line MIIEvQIBADAN",
            "bad line [redacted]",
        );
    }

    #[test]
    fn what_is_too_short_to_be_secret_stays() {
        check(&["", "1", "no"], "no 1", "no 1");
    }

    #[track_caller]
    fn answer(answer: &str, text: &str, expect: &str) {
        let mut mask = SecretMask::default();
        mask.add_answer(answer.as_bytes());
        assert_eq!(mask.apply(text), expect, "{answer}");
    }

    #[test]
    fn of_an_answer_the_secrets_are_hidden() {
        let whole = r#"{"outputs": {"host": "db-1"}, "secrets": {"password": "hunter2"}}"#;
        answer(
            whole,
            "hunter2 for password at db-1",
            "[redacted] for password at db-1",
        );
    }

    #[test]
    fn of_an_answer_that_can_t_be_used_every_value_is_hidden() {
        for broken in [
            r#"{"outputs": {"host": "db-1"}, "secrets": {"password": "hunter2"#,
            r#"{"password" : "hunter2", "host": ["db-1"]}"#,
            r#"{"secrets": {"x": {"y": "hunter2"}}, "a": "db-1"}"#,
            r#"secrets: "hunter2" "db-1""#,
        ] {
            answer(
                broken,
                "hunter2 for password at db-1",
                "[redacted] for password at [redacted]",
            );
        }
        answer(r#"{"secrets": {"x": "a\"b\\"#, r#"a"b\"#, "[redacted]");
        answer(
            r#"{"secrets": {"x": "say \"yes\" "}, 1}"#,
            r#"say "yes" "#,
            "[redacted]",
        );
        answer("\"", "text", "text");
    }

    #[test]
    fn of_an_answer_with_too_many_values_nothing_is_shown() {
        let broken = |count: usize| format!("[{}", "\"hunter2\",".repeat(count));
        answer(&broken(512), "hunter2 failed", "[redacted] failed");
        answer(&broken(513), "the disk is full", "[redacted]");
        answer(&broken(513), "", "");
    }
}
