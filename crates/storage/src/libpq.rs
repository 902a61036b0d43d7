//! What a URL of libpq's says, and what is added to it.

use std::{
    env,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// What is added to every URL that does not say otherwise. A server that is silent is given up within
/// ten seconds, whether it is being connected to, sent to or waited for. And a server that takes no
/// changes is not connected to: of several hosts, or of a name that has moved, the primary is taken.
const DEFAULTS: &[(&str, &str)] = &[
    ("connect_timeout", "5"),
    ("tcp_user_timeout", "8000"),
    ("keepalives_idle", "4"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "2"),
    ("target_session_attrs", "read-write"),
    ("fallback_application_name", "molecule-cp"),
];

/// The URL, with what is added to it.
pub(crate) fn complete(url: &str) -> String {
    let mut complete = url.to_owned();
    let mut separator = if parts(url).1.is_some() { '&' } else { '?' };
    let mut add = |name: &str, value: &str| {
        if parameter(url, name).is_none() {
            complete.push(separator);
            separator = '&';
            complete.push_str(name);
            complete.push('=');
            complete.push_str(value);
        }
    };
    for (name, value) in DEFAULTS {
        add(name, value);
    }
    // The OpenSSL that is built in does not know where this system keeps its certificates.
    if parameter(url, "sslmode") == Some("verify-full") && !has_root_certificate() {
        add("sslrootcert", &system_certificates());
    }
    complete
}

/// Whether whatever goes to the server may be read on its way, with nobody having said so: a host that is
/// not this one, and no `sslmode`.
pub(crate) fn lacks_sslmode(url: &str) -> bool {
    let said = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let chosen = ["sslmode", "ssl"]
        .iter()
        .any(|name| parameter(url, name).is_some_and(|value| !value.is_empty()));
    !chosen && !said("PGSSLMODE") && !hosts(url).iter().all(|host| is_local(host))
}

/// The hosts with the database's name, and the parameters. A question mark may stand in a password, which
/// ends at the first `@` unless a slash comes before that.
fn parts(url: &str) -> (&str, Option<&str>) {
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
fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = parts(url);
    query?
        .split('&')
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .next_back()
}

/// The hosts that libpq would connect to; an empty one is the socket of this machine.
fn hosts(url: &str) -> Vec<String> {
    let named = ["hostaddr", "host"]
        .iter()
        .find_map(|name| parameter(url, name))
        .map(|hosts| hosts.split(',').map(decoded).collect());
    named.unwrap_or_else(|| {
        let hosts = parts(url).0.split('/').next().unwrap_or_default();
        let hosts: Vec<String> = hosts.split(',').map(without_port).map(decoded).collect();
        let none = hosts.iter().all(String::is_empty);
        match env::var("PGHOST") {
            Ok(host) if none => host.split(',').map(str::to_owned).collect(),
            _ => hosts,
        }
    })
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// With `%2F` for a slash and so on.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, after @ ..] => hex(*high)
                .zip(hex(*low))
                .map(|(high, low)| (high * 16 + low, after)),
            _ => None,
        };
        let (byte, after) = escaped.unwrap_or((*first, others));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    let digit = char::from(digit).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// Whether what is sent to a host does not leave this machine.
fn is_local(host: &str) -> bool {
    // A path is that of a socket, and so is what begins with an `@`.
    host.is_empty()
        || host.starts_with(['/', '@'])
        || host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Whether libpq finds an authority's certificate by itself.
fn has_root_certificate() -> bool {
    let named = env::var_os("PGSSLROOTCERT").is_some_and(|value| !value.is_empty());
    let home = env::home_dir().map(|home| home.join(".postgresql/root.crt"));
    named || home.is_some_and(|file| file.exists())
}

/// The file of the system's certificates; where there is none, OpenSSL looks for them.
fn system_certificates() -> String {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let file = FILE.get_or_init(|| openssl_probe::probe().cert_file);
    file.as_deref()
        .and_then(Path::to_str)
        // Whatever would have to be escaped in a URL is in no such path.
        .filter(|path| {
            path.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
        })
        .unwrap_or("system")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_added() {
        let all = "connect_timeout=5&tcp_user_timeout=8000&keepalives_idle=4&keepalives_interval=2\
                   &keepalives_count=2&target_session_attrs=read-write\
                   &fallback_application_name=molecule-cp";
        assert_eq!(
            complete("postgres://db/cp"),
            format!("postgres://db/cp?{all}")
        );
        assert_eq!(
            complete("postgres://me:p?w@db/cp"),
            format!("postgres://me:p?w@db/cp?{all}")
        );
        let own = "postgres://db/cp?connect_timeout=1&target_session_attrs=any";
        let complete = complete(own);
        assert!(complete.starts_with(own) && complete.contains("&tcp_user_timeout=8000"));
        assert_eq!(complete.matches("connect_timeout").count(), 1);
        assert_eq!(complete.matches("target_session_attrs").count(), 1);
    }

    #[test]
    fn the_systems_certificates_are_named_where_a_server_is_verified() {
        let with = |mode: &str| complete(&format!("postgres://db/cp?sslmode={mode}"));
        assert!(with("verify-full").contains("&sslrootcert="));
        assert!(!with("require").contains("sslrootcert"));
        let own = with("verify-full&sslrootcert=/etc/own.pem");
        assert_eq!(own.matches("sslrootcert").count(), 1);
    }

    #[track_caller]
    fn check(url: &str, lacks: bool) {
        assert_eq!(lacks_sslmode(url), lacks, "{url}");
    }

    #[test]
    fn another_host_needs_an_sslmode() {
        for remote in [
            "postgres://db/cp",
            "postgres://me:pw@db.example.com:5432/cp",
            "postgres://me@10.0.0.7",
            "postgres://[2001:db8::1]:5432/cp",
            "postgres://localhost,db/cp",
            "postgres:///cp?host=db",
            "postgres://localhost/cp?hostaddr=10.0.0.7",
            "postgres://me:p%40w@db/cp?connect_timeout=1",
            "postgres://me:p?sslmode=x@db/cp",
            "postgres://db/cp?sslmode=",
            "postgres://localhost.example.com/cp",
        ] {
            check(remote, true);
            let and = if parts(remote).1.is_some() { '&' } else { '?' };
            for mode in ["disable", "verify-full"] {
                check(&format!("{remote}{and}sslmode={mode}"), false);
            }
        }
    }

    #[test]
    fn this_host_needs_none() {
        for local in [
            "postgres:///cp",
            "postgres://me@localhost/cp",
            "postgres://me:pw@127.0.0.1:5433/cp",
            "postgres://me:p?w@127.0.0.1/cp",
            "postgres://[::1]/cp",
            "postgres://%2Fvar%2Frun%2Fpostgresql/cp",
            "postgres:///cp?host=/var/run/postgresql",
            "postgres://localhost,127.0.0.2/cp",
        ] {
            check(local, false);
        }
    }
}
