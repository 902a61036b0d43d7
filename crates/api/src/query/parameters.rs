//! The parameters of a query as they were sent: each is known and read once, or the request is refused.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

/// Why a query was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// A parameter is unknown, repeated or invalid; the text says which, and what is right.
    Bad(String),
    /// The cursor does not belong to this list.
    Cursor,
}

/// The parameters of a query, taken out one by one.
#[derive(Debug, Default)]
pub struct Parameters {
    parameters: BTreeMap<String, Vec<String>>,
    /// What was taken, in a form that is equal for equal filters.
    taken: String,
    known: Vec<&'static str>,
}

impl Parameters {
    /// Reads the query of a URL, in the form of HTML forms (`application/x-www-form-urlencoded`).
    ///
    /// # Errors
    /// When it is not UTF-8 once decoded, or has a NUL. What replaces such bytes elsewhere, U+FFFD, could
    /// be part of a value that somebody else uses.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let decoded = percent_decode_str(text)
            .decode_utf8()
            .map_err(|_| QueryError::Bad("The query is not UTF-8. Encode it again.".to_owned()))?;
        if decoded.contains('\0') {
            return Err(QueryError::Bad(
                "The query has a NUL (%00). Leave it out.".to_owned(),
            ));
        }
        let pairs = form_urlencoded::parse(text.as_bytes());
        Ok(Self::new(pairs.map(|(name, value)| {
            (name.into_owned(), value.into_owned())
        })))
    }

    /// Takes decoded pairs.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut parameters = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in pairs {
            parameters.entry(name).or_default().push(value);
        }
        Self {
            parameters,
            ..Self::default()
        }
    }

    /// The values of a parameter that may be repeated.
    pub(crate) fn many(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        self.parameters.remove(name).unwrap_or_default()
    }

    /// The value of a parameter that may not be repeated. Cursors are bound to it.
    pub(crate) fn single(&mut self, name: &'static str) -> Result<Option<String>, QueryError> {
        let mut values = self.many(name);
        if values.len() > 1 {
            let text = format!("The parameter {name} is repeated. Send it once.");
            return Err(QueryError::Bad(text));
        }
        let value = values.pop();
        if let Some(value) = &value {
            self.bind(name, value);
        }
        Ok(value)
    }

    /// Binds cursors to a value.
    pub(crate) fn bind(&mut self, name: &str, value: &str) {
        // Lengths keep two filters from running into one another.
        self.taken
            .push_str(&format!("{name}={}:{value};", value.len()));
    }

    /// What cursors are bound to.
    pub(crate) fn binding(&self) -> &str {
        &self.taken
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When there is an unknown parameter.
    pub fn finish(self) -> Result<(), QueryError> {
        match self.parameters.keys().next() {
            None => Ok(()),
            Some(name) => {
                let name: String = name.chars().take(100).collect();
                Err(QueryError::Bad(if self.known.is_empty() {
                    format!("The parameter {name:?} is unknown. This operation has no parameters.")
                } else {
                    format!(
                        "The parameter {name:?} is unknown. The parameters are {}.",
                        self.known.join(", ")
                    )
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, slug: Option<&str>) {
        let actual = Parameters::parse(text).and_then(|mut query| query.single("slug"));
        assert_eq!(actual.ok().flatten().as_deref(), slug, "{text}");
    }

    #[test]
    fn a_query_is_utf8_without_nul() {
        check("slug=a+b%2Bc", Some("a b+c"));
        check("slug=%C3%A9&slug2=%f0%9f%8c%8d", Some("é"));
        check("slug=%EF%BF%BD", Some("\u{fffd}"));
        check("slug=%zz", Some("%zz"));
        for text in [
            "slug=%ff",
            "slug=%C3&x=%A9",
            "%c3%28=1&slug=a",
            "slug=a%00",
            "slug=a&%00",
        ] {
            check(text, None);
            assert!(Parameters::parse(text).is_err(), "{text}");
        }
    }
}
