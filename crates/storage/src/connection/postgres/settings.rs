//! How to connect, as the URL of a database says it.

use std::{env, path::PathBuf, time::Duration};

use socket2::TcpKeepalive;
use tokio_postgres::config::{ChannelBinding, Config, SslMode, SslNegotiation};

use super::{
    parameters::{
        ParameterError, check_names, decoded, duration, invalid, parameter, parts, value, variable,
    },
    server::{ServerAddress, servers},
};

/// How to connect.
pub(super) struct Settings {
    /// Who connects, and to which database.
    pub(super) config: Config,
    /// The servers to try, in this order.
    pub(super) servers: Vec<ServerAddress>,
    pub(super) connect_timeout: Option<Duration>,
    /// How long what was sent may stay unacknowledged.
    pub(super) user_timeout: Option<Duration>,
    pub(super) keepalive: Option<TcpKeepalive>,
    /// Whether the server must take changes.
    pub(super) writable: bool,
    pub(super) tls: TlsSettings,
}

/// How a connection is encrypted, where it is.
#[derive(Debug)]
pub(super) struct TlsSettings {
    pub(super) mode: SslMode,
    pub(super) verify: Verify,
    /// The files of the certificate and the key that the server may ask for.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

/// What a server's certificate has to show.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verify {
    Nothing,
    Authority(Roots),
    AuthorityAndName(Roots),
}

/// Whose certificates are trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Roots {
    System,
    File(PathBuf),
}

impl Settings {
    pub(super) fn read(url: &str) -> Result<Self, ParameterError> {
        check_names(url)?;
        // Only what stands before the parameters: it takes an `@` among them for the end of a password.
        let end = parts(url)
            .1
            .map_or(url.len(), |query| url.len() - query.len() - 1);
        let mut config: Config = url.get(..end).unwrap_or(url).parse()?;
        for (name, set) in IDENTITY {
            let own = parameter(url, name).map(decoded);
            let in_url = own.is_some() || is_named(&config, name);
            if let Some(value) = own.or_else(|| variable(name).filter(|_| !in_url)) {
                set(&mut config, &value);
            }
        }
        if config.get_application_name().is_none()
            && let Some(name) = value(url, "fallback_application_name")
        {
            config.application_name(&name);
        }
        set_choices(&mut config, url)?;
        let tls = TlsSettings::read(url)?;
        config.ssl_mode(tls.mode);
        Ok(Self {
            servers: servers(&config, url)?,
            config,
            connect_timeout: duration(url, "connect_timeout", Duration::from_secs)?,
            user_timeout: duration(url, "tcp_user_timeout", Duration::from_millis)?,
            keepalive: keepalive(url)?,
            writable: match value(url, "target_session_attrs").as_deref() {
                Some("any") => false,
                Some("read-write" | "primary") => true,
                other => return Err(invalid("target_session_attrs", other)),
            },
            tls,
        })
    }
}

/// Sets something of a configuration.
type Set = for<'a> fn(&'a mut Config, &str) -> &'a mut Config;

const IDENTITY: &[(&str, Set)] = &[
    ("user", |config, value| config.user(value)),
    ("password", |config, value| config.password(value)),
    ("dbname", |config, value| config.dbname(value)),
    ("options", |config, value| config.options(value)),
    ("application_name", |config, value| {
        config.application_name(value)
    }),
];

/// Whether the part before the parameters says it.
fn is_named(config: &Config, name: &str) -> bool {
    match name {
        "user" => config.get_user().is_some(),
        "password" => config.get_password().is_some(),
        "dbname" => config.get_dbname().is_some(),
        _ => false,
    }
}

fn set_choices(config: &mut Config, url: &str) -> Result<(), ParameterError> {
    config.channel_binding(match value(url, "channel_binding").as_deref() {
        None | Some("prefer") => ChannelBinding::Prefer,
        Some("disable") => ChannelBinding::Disable,
        Some("require") => ChannelBinding::Require,
        other => return Err(invalid("channel_binding", other)),
    });
    config.ssl_negotiation(match value(url, "sslnegotiation").as_deref() {
        None | Some("postgres") => SslNegotiation::Postgres,
        Some("direct") => SslNegotiation::Direct,
        other => return Err(invalid("sslnegotiation", other)),
    });
    Ok(())
}

fn keepalive(url: &str) -> Result<Option<TcpKeepalive>, ParameterError> {
    if value(url, "keepalives").as_deref() == Some("0") {
        return Ok(None);
    }
    let mut keepalive = TcpKeepalive::new();
    if let Some(idle) = duration(url, "keepalives_idle", Duration::from_secs)? {
        keepalive = keepalive.with_time(idle);
    }
    if let Some(interval) = duration(url, "keepalives_interval", Duration::from_secs)? {
        keepalive = keepalive.with_interval(interval);
    }
    let count = value(url, "keepalives_count").unwrap_or_default();
    match count.parse() {
        Ok(0) => {}
        Ok(count) => keepalive = keepalive.with_retries(count),
        Err(_) => return Err(invalid("keepalives_count", Some(&count))),
    }
    Ok(Some(keepalive))
}

impl TlsSettings {
    fn read(url: &str) -> Result<Self, ParameterError> {
        let mode = match parameter(url, "ssl") {
            Some("true") if parameter(url, "sslmode").is_none() => Some("require".to_owned()),
            _ => value(url, "sslmode"),
        };
        let root = value(url, "sslrootcert").map(PathBuf::from);
        let root = root.or_else(|| in_home("root.crt"));
        let is_system = root.as_deref() == Some("system".as_ref());
        if is_system && mode.as_deref() != Some("verify-full") {
            return Err(ParameterError::WeakMode);
        }
        let (mode, verify) = match (mode.as_deref(), root) {
            (Some("disable"), _) => (SslMode::Disable, Verify::Nothing),
            (Some("allow" | "prefer"), _) => (SslMode::Prefer, Verify::Nothing),
            (Some("require"), None) => (SslMode::Require, Verify::Nothing),
            (Some("require" | "verify-ca"), Some(file)) => {
                (SslMode::Require, Verify::Authority(Roots::File(file)))
            }
            (Some("verify-ca"), None) => return Err(ParameterError::NoAuthority),
            (Some("verify-full"), Some(file)) if !is_system => (
                SslMode::Require,
                Verify::AuthorityAndName(Roots::File(file)),
            ),
            (Some("verify-full"), _) => (SslMode::Require, Verify::AuthorityAndName(Roots::System)),
            (other, _) => return Err(invalid("sslmode", other)),
        };
        let file = |name, file| {
            value(url, name)
                .map(PathBuf::from)
                .or_else(|| in_home(file))
        };
        let client = file("sslcert", "postgresql.crt").zip(file("sslkey", "postgresql.key"));
        Ok(Self {
            mode,
            verify,
            client,
        })
    }
}

/// A file that is used where there is one.
fn in_home(name: &str) -> Option<PathBuf> {
    let file = env::home_dir()?.join(".postgresql").join(name);
    file.exists().then_some(file)
}

/// Whether whatever goes to the server may be read on its way, with nobody having said so: a host that is
/// not this one, and no `sslmode`.
pub(crate) fn lacks_sslmode(url: &str) -> bool {
    let chosen = ["sslmode", "ssl"]
        .iter()
        .any(|name| parameter(url, name).is_some_and(|value| !value.is_empty()));
    // A URL that can't be connected with is refused where that is tried, with the reason.
    !chosen
        && variable("sslmode").is_none()
        && Settings::read(url)
            .is_ok_and(|settings| !settings.servers.iter().all(ServerAddress::is_local))
}

#[cfg(test)]
mod tests;
