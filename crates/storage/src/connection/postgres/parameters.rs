//! The parameters in the URL of a PostgreSQL database, under the names of libpq, and what is assumed where the
//! URL says nothing.

use std::{env, time::Duration};

use percent_encoding::percent_decode_str;

/// What holds for every URL that does not say otherwise. A server that is silent is given up within ten
/// seconds, whether it is being connected to, sent to or waited for. And a server that takes no changes is
/// not connected to: of several hosts, or of a name that has moved, the primary is taken.
const DEFAULTS: &[(&str, &str)] = &[
    ("connect_timeout", "5"),
    ("tcp_user_timeout", "8000"),
    ("keepalives", "1"),
    ("keepalives_idle", "4"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "2"),
    ("target_session_attrs", "read-write"),
    ("fallback_application_name", "molecule-cp"),
    ("sslmode", "prefer"),
    ("port", "5432"),
];

/// Variables of the environment that stand in for a parameter, as they do for every client of PostgreSQL.
const VARIABLES: &[(&str, &str)] = &[
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

/// Parameters that have no variable and no default.
const OTHERS: &[&str] = &["hostaddr", "ssl", "sslnegotiation"];

/// Values that ask for nothing but what is done anyway.
const NO_EFFECT: &[(&str, &[&str])] = &[
    (
        "client_encoding",
        &["auto", "utf8", "UTF8", "utf-8", "UTF-8"],
    ),
    ("gssencmode", &["disable", "prefer"]),
    ("load_balance_hosts", &["disable"]),
    ("sslcompression", &["0"]),
    ("sslsni", &["1"]),
    ("ssl_min_protocol_version", &["TLSv1", "TLSv1.1", "TLSv1.2"]),
];

/// Why a URL can't be connected with.
#[derive(Debug, thiserror::Error)]
pub(super) enum ParameterError {
    #[error("the parameter {0} is not supported; remove it from the database's URL")]
    Unsupported(String),
    #[error("the parameter {name} of the database's URL can't be {value:?}")]
    Invalid { name: &'static str, value: String },
    #[error("sslmode=verify-ca needs sslrootcert=<file of the authority's certificate>")]
    NoAuthority,
    #[error(
        "sslrootcert=system needs sslmode=verify-full: anybody has a certificate of some authority"
    )]
    WeakMode,
    #[error("the database's URL can't be read")]
    Url(#[from] tokio_postgres::Error),
}

pub(super) fn check_names(url: &str) -> Result<(), ParameterError> {
    let query = parts(url).1.unwrap_or_default();
    for (name, value) in query.split('&').filter_map(|text| text.split_once('=')) {
        let known = DEFAULTS
            .iter()
            .chain(VARIABLES)
            .any(|(known, _)| *known == name)
            || OTHERS.contains(&name);
        let mut no_effect = NO_EFFECT.iter();
        let asks_nothing =
            no_effect.any(|(known, values)| *known == name && values.contains(&value));
        if !known && !asks_nothing {
            return Err(ParameterError::Unsupported(name.to_owned()));
        }
    }
    Ok(())
}

pub(super) fn invalid(name: &'static str, value: Option<&str>) -> ParameterError {
    ParameterError::Invalid {
        name,
        value: value.unwrap_or_default().to_owned(),
    }
}

/// A parameter's value: from the URL, the environment or the defaults.
pub(super) fn value(url: &str, name: &str) -> Option<String> {
    let own = parameter(url, name)
        .map(decoded)
        .filter(|own| !own.is_empty());
    let default = || {
        let default = DEFAULTS.iter().find(|(known, _)| *known == name);
        default.map(|(_, value)| (*value).to_owned())
    };
    own.or_else(|| variable(name)).or_else(default)
}

pub(super) fn variable(name: &str) -> Option<String> {
    let (_, variable) = VARIABLES.iter().find(|(known, _)| *known == name)?;
    env::var(variable).ok().filter(|value| !value.is_empty())
}

/// A time; none with 0 or less, as in libpq.
pub(super) fn duration(
    url: &str,
    name: &'static str,
    unit: fn(u64) -> Duration,
) -> Result<Option<Duration>, ParameterError> {
    let Some(text) = value(url, name) else {
        return Ok(None);
    };
    let number: i64 = text.parse().map_err(|_| invalid(name, Some(&text)))?;
    let number = u64::try_from(number).unwrap_or(0);
    Ok((number > 0).then(|| unit(number)))
}

/// The hosts with the database's name, and the parameters. A question mark may stand in a password, which
/// ends at the first `@` unless a slash comes before that.
pub(super) fn parts(url: &str) -> (&str, Option<&str>) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let hosts = rest
        .split_once('@')
        .filter(|(credentials, _)| !credentials.contains('/'))
        .map_or(rest, |(_, hosts)| hosts);
    match hosts.split_once('?') {
        Some((hosts, parameters)) => (hosts, Some(parameters)),
        None => (hosts, None),
    }
}

/// A parameter's value, as it stands in the URL.
pub(super) fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = parts(url);
    query?
        .split('&')
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .next_back()
}

/// With `%2F` for a slash and so on.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
