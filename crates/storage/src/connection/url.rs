//! Where a database is.

use std::{fmt, path::Path, str::FromStr};

use super::lacks_sslmode;

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
    /// A character of the user's name, the password or the database's name is one that ends them.
    #[error(
        "a / or @ in a user name, a password or the name of a database is written as %2F or %40"
    )]
    Unescaped,
    /// The server is on another host, and nobody has said whether the connection is to be encrypted.
    #[error(
        "the server is on another host and the URL has no sslmode: add sslmode=verify-full, so that the \
         connection is encrypted and the server's certificate checked, or sslmode=disable where \
         passwords and data may cross the network in plain text"
    )]
    NoSslmode,
    /// SQLite would keep it in memory, where every connection has a database of its own.
    #[error("sqlite: needs the path of a file; a database in memory can't be shared")]
    InMemory,
    /// A direct URL beside one that no pooler can be behind.
    #[error("a direct URL is for PostgreSQL behind a pooler: both URLs are postgres://…")]
    NoPooler,
}

/// Where a database is, and by its scheme which engine it has. It prints without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(pub(crate) Engine, Option<String>);

/// An engine and what it needs to find a database.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The path of a file.
    Sqlite(String),
    /// The URL, with the parameters of libpq.
    Postgres(String),
    /// The same, of a pooler that gives each transaction another session.
    Pooled(String),
}

impl DatabaseUrl {
    /// The path of the file, when it is SQLite's.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.0 {
            Engine::Sqlite(path) => Some(Path::new(path)),
            Engine::Postgres(_) | Engine::Pooled(_) => None,
        }
    }

    /// The same database, with the URL of the server itself for what can't go through a pooler.
    ///
    /// # Errors
    /// [`InvalidDatabaseUrl::NoPooler`] unless both are of PostgreSQL.
    pub fn with_direct(self, direct: &Self) -> Result<Self, InvalidDatabaseUrl> {
        match (&self.0, &direct.0) {
            (Engine::Postgres(_), Engine::Postgres(direct)) => {
                let direct = Some(direct.clone());
                Ok(Self(self.0, direct))
            }
            (Engine::Sqlite(_) | Engine::Postgres(_) | Engine::Pooled(_), _) => {
                Err(InvalidDatabaseUrl::NoPooler)
            }
        }
    }

    /// Whether the server itself has a URL of its own.
    #[must_use]
    pub const fn has_direct(&self) -> bool {
        self.1.is_some()
    }

    /// For what needs a session of its own.
    #[must_use]
    pub fn direct(&self) -> Self {
        match &self.1 {
            Some(direct) => Self(Engine::Postgres(direct.clone()), None),
            None => self.clone(),
        }
    }

    /// For transactions that may each have another session.
    pub(crate) fn pooled(&self) -> Self {
        match &self.0 {
            Engine::Postgres(url) => Self(Engine::Pooled(url.clone()), None),
            Engine::Sqlite(_) | Engine::Pooled(_) => self.clone(),
        }
    }

    /// A text, such as a message of the engine's, with the password taken out of it.
    pub(crate) fn without_secrets(&self, text: &str) -> String {
        match &self.0 {
            Engine::Sqlite(_) => text.to_owned(),
            Engine::Postgres(url) | Engine::Pooled(url) => secrets(url)
                .into_iter()
                .fold(text.to_owned(), |text, secret| text.replace(secret, MASK)),
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDatabaseUrl> {
        if let Some(rest) = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
        {
            if is_torn(rest) {
                return Err(InvalidDatabaseUrl::Unescaped);
            }
            if lacks_sslmode(text) {
                return Err(InvalidDatabaseUrl::NoSslmode);
            }
            return Ok(Self(Engine::Postgres(text.to_owned()), None));
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
            Ok(Self(Engine::Sqlite(path.to_owned()), None))
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Engine::Sqlite(path) => write!(f, "sqlite:{path}"),
            Engine::Postgres(url) | Engine::Pooled(url) => f.write_str(&self.without_secrets(url)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a client would take a piece of the credentials for the host, the port or the database, and say so
/// in its messages. It ends them at the first `@`, unless a `/` comes before that.
fn is_torn(rest: &str) -> bool {
    let host_and_path = match rest.find(['@', '/']) {
        Some(at) if rest.get(at..).is_some_and(|end| end.starts_with('@')) => rest.get(at + 1..),
        _ => Some(rest),
    };
    let host_and_path = host_and_path.unwrap_or_default();
    let (before_parameters, parameters) =
        host_and_path.split_once('?').unwrap_or((host_and_path, ""));
    // What is no parameter is the rest of a password.
    let mut parameters = parameters.split('&').filter(|text| !text.is_empty());
    let is_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    before_parameters.contains('@')
        || parameters.any(|text| !text.split_once('=').is_some_and(|(name, _)| is_name(name)))
}

/// The secrets in a URL: the password after the user, and those among the parameters.
fn secrets(url: &str) -> Vec<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let in_authority = rest
        .split_once('@')
        .filter(|(credentials, _)| !credentials.contains('/'))
        .and_then(|(credentials, _)| credentials.split_once(':'))
        .map(|(_, password)| password);
    let in_parameters = url
        .split(['?', '&'])
        .skip(1)
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(name, _)| {
            let name = name.to_ascii_lowercase();
            ["password", "secret", "token"]
                .iter()
                .any(|secret| name.contains(secret))
        })
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
        prints_as("postgres://localhost/cp", "postgres://localhost/cp");
        prints_as(
            "postgresql://me@db:1/cp?sslmode=disable",
            "postgresql://me@db:1/cp?sslmode=disable",
        );
    }

    #[test]
    fn anything_else_is_refused() {
        is_refused("", InvalidDatabaseUrl::Scheme);
        is_refused("data/cp.db", InvalidDatabaseUrl::Scheme);
        is_refused("mysql://db/cp", InvalidDatabaseUrl::Scheme);
        is_refused("host=db user=me", InvalidDatabaseUrl::Scheme);
        is_refused("postgres://me@db/cp", InvalidDatabaseUrl::NoSslmode);
        is_refused("sqlite:", InvalidDatabaseUrl::NoPath);
        is_refused("sqlite::memory:", InvalidDatabaseUrl::InMemory);
        is_refused("sqlite:file:x?mode=memory", InvalidDatabaseUrl::InMemory);
    }

    #[test]
    fn a_password_is_not_printed() {
        prints_as(
            "postgres://me:s3?ret@localhost/cp",
            "postgres://me:***@localhost/cp",
        );
        prints_as(
            "postgres://me:s3%2Fret@localhost/cp",
            "postgres://me:***@localhost/cp",
        );
        prints_as(
            "postgres://me:s3cret@localhost/cp",
            "postgres://me:***@localhost/cp",
        );
        prints_as(
            "postgres://localhost/cp?user=me&password=s3cret",
            "postgres://localhost/cp?user=me&password=***",
        );
        prints_as(
            "postgres://localhost/cp?sslpassword=s3&oauth_client_secret=s4",
            "postgres://localhost/cp?sslpassword=***&oauth_client_secret=***",
        );
    }

    /// A client would take a piece of the password for a host or a port, and name it in its messages.
    #[test]
    fn a_password_that_is_not_escaped_is_refused() {
        let why = InvalidDatabaseUrl::Unescaped;
        is_refused("postgres://me:s3/ret@db/cp", why);
        is_refused("postgres://me:s3@ret@db/cp", why);
        is_refused("postgres://me:s3@/?ret@db/cp", why);
        is_refused("postgres://me:s3?r/et@db/cp", why);
        assert!(!why.to_string().contains("s3"));
        // Those are none.
        prints_as(
            "postgres://localhost/cp?user=me@corp",
            "postgres://localhost/cp?user=me@corp",
        );
        prints_as("postgres://me@localhost/cp", "postgres://me@localhost/cp");
    }

    #[test]
    fn a_password_is_taken_out_of_messages() {
        let url: DatabaseUrl = "postgres://me:s3cret@localhost:x/cp".parse().unwrap();
        assert_eq!(
            url.without_secrets("bad port in me:s3cret@localhost:x"),
            "bad port in me:***@localhost:x"
        );
    }
}
