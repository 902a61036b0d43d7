//! The query of a request: every parameter is known and read once, or the request is refused.

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
pub struct Query {
    parameters: BTreeMap<String, Vec<String>>,
    /// What was taken, in a form that is equal for equal filters.
    taken: String,
    known: Vec<&'static str>,
}

impl Query {
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

    /// The value of a parameter that may not be repeated.
    pub(crate) fn single<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, QueryError> {
        let values = self.many(name);
        match values.as_slice() {
            [] => Ok(None),
            [value] => parse(value)
                .map(Some)
                .map_err(|error| QueryError::Bad(format!("{name}: {}", error.to_string()))),
            [_, _, ..] => Err(QueryError::Bad(format!(
                "The parameter {name} is repeated. Send it once."
            ))),
        }
    }

    /// A filter: like [`Query::single`], and a cursor is bound to its value.
    pub(crate) fn filter<T, E: ToString>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, QueryError> {
        let mut text = None;
        let value = self.single(name, |value| {
            text = Some(value.to_owned());
            parse(value)
        })?;
        if let Some(text) = text {
            self.bind(name, &text);
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
        let slug_of =
            |mut query: Query| query.single("slug", |text| Ok::<_, String>(text.to_owned()));
        let actual = Query::parse(text).and_then(slug_of);
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
            assert!(Query::parse(text).is_err(), "{text}");
        }
    }
}
