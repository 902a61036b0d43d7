//! `rediss://`: whose certificates are trusted.

use std::fs;

use molecule_ratelimit_redis::{RedisUrl, Settings};
use ratelimit::RateLimit;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use testkit::redis::Server;

use crate::kit::{Instance, key, settings};

const LIMIT: RateLimit = RateLimit::literal(30, 86_400);

/// A server with a certificate for these names by an authority of its own, and that authority in PEM.
fn encrypted(names: &[&str]) -> Option<(Server, String)> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "authority of a test");
    let authority = params.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let params = CertificateParams::new(names).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    fs::write(path("cert"), certificate.pem()).unwrap();
    fs::write(path("key"), key.serialize_pem()).unwrap();
    fs::write(path("authority"), &authority).unwrap();
    let server = Server::start(&[
        "--tls-cert-file",
        &path("cert"),
        "--tls-key-file",
        &path("key"),
        "--tls-ca-cert-file",
        &path("authority"),
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "secret",
    ])?;
    Some((server, authority))
}

async fn instance(url: &str, authority: Option<&str>) -> Instance {
    let settings = Settings {
        url: RedisUrl::new(url, authority).unwrap(),
        ..settings("redis://localhost")
    };
    Instance::start(1, settings).await.unwrap()
}

#[tokio::test]
async fn a_certificate_of_a_named_authority_is_trusted() {
    let Some((server, authority)) = encrypted(&["localhost"]) else {
        return;
    };
    let url = format!("rediss://:secret@localhost:{}", server.port());
    let instance = instance(&url, Some(&authority)).await;
    assert!(!instance.is_partitioned());
    assert_eq!(instance.allowed(key(1), LIMIT, 40).await, 30);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_or_another_host_is_not() {
    let Some((server, authority)) = encrypted(&["another.example.com"]) else {
        return;
    };
    let url = format!("rediss://:secret@localhost:{}", server.port());
    for authority in [None, Some(authority.as_str())] {
        let instance = instance(&url, authority).await;
        assert!(instance.is_partitioned());
        assert!(instance.failures("unreachable") >= 1);
    }
}

#[tokio::test]
async fn a_plain_connection_to_an_encrypted_server_is_not_made() {
    let Some((server, _)) = encrypted(&["localhost"]) else {
        return;
    };
    let url = format!("redis://:secret@localhost:{}", server.port());
    assert!(instance(&url, None).await.is_partitioned());
}
