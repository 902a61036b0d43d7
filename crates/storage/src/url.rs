//! Where a database is.

use std::{fmt, path::Path, str::FromStr};

/// What stands in place of a password.
const MASK: &str = "***";

/// Why a text does not name a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// The scheme is of no engine that we know.
    #[error("a database is named as sqlite:<path> or postgres://<user>:<password>@<host>/<name>")]
    Scheme,
    /// The path of an SQLite file is missing.
    #[error("sqlite: needs the path of a file")]
    NoPath,
    /// SQLite would keep it in memory, where every connection has a database of its own.
    #[error("sqlite: needs the path of a file; a database in memory can't be shared")]
    InMemory,
}

/// Where a database is, and by its scheme which engine it has. It prints without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(pub(crate) Engine);

/// An engine and what it needs to find a database.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The path of a file.
    Sqlite(String),
    /// The URL as libpq reads it.
    Postgres(String),
}

impl DatabaseUrl {
    /// The path of the file, when it is SQLite's.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.0 {
            Engine::Sqlite(path) => Some(Path::new(path)),
            Engine::Postgres(_) => None,
        }
    }

    /// A text, such as a message of the engine's, with the password taken out of it.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        match &self.0 {
            Engine::Sqlite(_) => text.to_owned(),
            Engine::Postgres(url) => secrets(url)
                .into_iter()
                .fold(text.to_owned(), |text, secret| text.replace(secret, MASK)),
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self(Engine::Postgres(text.to_owned())));
        }
        let path = text
            .strip_prefix("sqlite://")
            .or_else(|| text.strip_prefix("sqlite:"))
            .ok_or(InvalidDatabaseUrl::Scheme)?;
        if path.is_empty() {
            Err(InvalidDatabaseUrl::NoPath)
        } else if path == ":memory:" || path.starts_with("file:") {
            // A URI of SQLite's can ask for a database in memory in several ways.
            Err(InvalidDatabaseUrl::InMemory)
        } else {
            Ok(Self(Engine::Sqlite(path.to_owned())))
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Engine::Sqlite(path) => write!(f, "sqlite:{path}"),
            Engine::Postgres(url) => f.write_str(&self.without_secrets(url)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The passwords in a URL of libpq's: after the user, and among the parameters.
fn secrets(url: &str) -> Vec<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    // A password with a slash or a question mark in it is not well formed and yet a secret, so all up
    // to the last `@` counts.
    let in_authority = rest
        .rsplit_once('@')
        .and_then(|(credentials, _)| credentials.split_once(':'))
        .map(|(_, password)| password);
    let in_parameters = url
        .split(['?', '&'])
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| name.contains("password"))
        .map(|(_, value)| value);
    in_authority
        .into_iter()
        .chain(in_parameters)
        .filter(|secret| !secret.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn prints_as(text: &str, printed: &str) {
        let url: DatabaseUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), printed);
        assert_eq!(format!("{url:?}"), printed);
    }

    #[track_caller]
    fn is_refused(text: &str, why: InvalidDatabaseUrl) {
        assert_eq!(text.parse::<DatabaseUrl>(), Err(why));
    }

    #[test]
    fn the_scheme_names_the_engine() {
        prints_as("sqlite:data/cp.db", "sqlite:data/cp.db");
        prints_as("sqlite://data/cp.db", "sqlite:data/cp.db");
        prints_as("sqlite:///var/cp.db", "sqlite:/var/cp.db");
        prints_as("postgres://db/cp", "postgres://db/cp");
        prints_as("postgresql://me@db:1/cp", "postgresql://me@db:1/cp");
    }

    #[test]
    fn anything_else_is_refused() {
        is_refused("", InvalidDatabaseUrl::Scheme);
        is_refused("data/cp.db", InvalidDatabaseUrl::Scheme);
        is_refused("mysql://db/cp", InvalidDatabaseUrl::Scheme);
        is_refused("host=db user=me", InvalidDatabaseUrl::Scheme);
        is_refused("sqlite:", InvalidDatabaseUrl::NoPath);
        is_refused("sqlite::memory:", InvalidDatabaseUrl::InMemory);
        is_refused("sqlite:file:x?mode=memory", InvalidDatabaseUrl::InMemory);
    }

    #[test]
    fn a_password_is_not_printed() {
        prints_as("postgres://me:s3cret@db/cp", "postgres://me:***@db/cp");
        prints_as("postgres://me:s3@/?ret@db/cp", "postgres://me:***@db/cp");
        prints_as(
            "postgres://db/cp?user=me&password=s3cret",
            "postgres://db/cp?user=me&password=***",
        );
    }

    #[test]
    fn a_password_is_taken_out_of_messages() {
        let url: DatabaseUrl = "postgres://me:s3cret@db:x/cp".parse().unwrap();
        assert_eq!(
            url.without_secrets("bad port in me:s3cret@db:x"),
            "bad port in me:***@db:x"
        );
    }
}
