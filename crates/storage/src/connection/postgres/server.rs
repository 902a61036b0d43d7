//! Where a server may be.

use std::{net::IpAddr, path::PathBuf};

use tokio_postgres::config::{Config, Host};

use super::parameters::{ParameterError, decoded, invalid, parameter, value, variable};

/// Where the server's socket is when no host is named.
const SOCKETS: &[&str] = &["/var/run/postgresql", "/tmp"];

/// Where a server may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerAddress {
    Unix(PathBuf),
    Tcp {
        /// What its certificate is for.
        host: String,
        /// Instead of the addresses of `host`.
        address: Option<IpAddr>,
        port: u16,
    },
}

/// The servers, with a port for each or one for all.
pub(super) fn servers(config: &Config, url: &str) -> Result<Vec<ServerAddress>, ParameterError> {
    let list = |name: &'static str| {
        let own = parameter(url, name).map(decoded);
        own.map(|list| list.split(',').map(str::to_owned).collect::<Vec<_>>())
    };
    let addresses: Vec<String> = list("hostaddr").unwrap_or_default();
    let in_url = || config.get_hosts().iter().map(host_text).collect();
    let mut hosts: Vec<String> = list("host").unwrap_or_else(in_url);
    if addresses.is_empty() && hosts.iter().all(String::is_empty) {
        hosts = match variable("host") {
            Some(hosts) => hosts.split(',').map(str::to_owned).collect(),
            None => SOCKETS.iter().map(|&socket| socket.to_owned()).collect(),
        };
    }
    let ports: Vec<String> = match list("port") {
        Some(ports) => ports,
        None if !config.get_ports().is_empty() => {
            config.get_ports().iter().map(ToString::to_string).collect()
        }
        None => value(url, "port").into_iter().collect(),
    };
    (0..hosts.len().max(addresses.len()))
        .map(|n| {
            let port = match ports.as_slice() {
                [one] => Some(one),
                all => all.get(n),
            };
            let port = port.map(String::as_str).filter(|port| !port.is_empty());
            let port = port.unwrap_or("5432");
            let port: u16 = port.parse().map_err(|_| invalid("port", Some(port)))?;
            let address = match addresses.get(n).filter(|address| !address.is_empty()) {
                None => None,
                Some(text) => {
                    let parsed = text.parse();
                    Some(parsed.map_err(|_| invalid("hostaddr", Some(text)))?)
                }
            };
            let host = hosts.get(n).cloned().unwrap_or_default();
            Ok(server(host, address, port))
        })
        .collect()
}

fn server(host: String, address: Option<IpAddr>, port: u16) -> ServerAddress {
    let host = match (host.as_str(), address) {
        ("", None) => SOCKETS
            .first()
            .map(|&socket| socket.to_owned())
            .unwrap_or_default(),
        ("", Some(address)) => address.to_string(),
        _ => host,
    };
    if host.starts_with('/') && address.is_none() {
        ServerAddress::Unix(PathBuf::from(host).join(format!(".s.PGSQL.{port}")))
    } else {
        ServerAddress::Tcp {
            host,
            address,
            port,
        }
    }
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

impl ServerAddress {
    /// Whether what is sent to it does not leave this machine.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, address, .. } => match address.or_else(|| host.parse().ok()) {
                Some(address) => address.to_canonical().is_loopback(),
                None => host.eq_ignore_ascii_case("localhost"),
            },
        }
    }
}
