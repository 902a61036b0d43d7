//! Encrypted connections to PostgreSQL: what each `sslmode` asks of the server's certificate, and what the
//! server may ask of ours.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::{
    error::Error as _,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use testkit::postgres::Server;

/// An authority of the test's own.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate and its key, as PEM.
    fn issue(&self, common_name: &str, hosts: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A server that speaks TLS, and the files of its clients.
struct Encrypted {
    server: Server,
    files: tempfile::TempDir,
}

impl Encrypted {
    fn start() -> Option<Self> {
        let server = Server::start()?;
        let data = server.folder().join("data");
        let authority = Authority::new();
        let (certificate, key) = authority.issue("a server", &["localhost"]);
        let own = |name: &str, text: &str| {
            let owner = data.metadata().unwrap();
            let file = data.join(name);
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
            chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        };
        own("server.crt", &certificate);
        own("server.key", &key);
        own("authority.crt", &authority.certificate.pem());
        let hba = fs::read_to_string(data.join("pg_hba.conf")).unwrap();
        own(
            "pg_hba.conf",
            &format!(
                "hostssl all certified 127.0.0.1/32 cert\n\
                 hostssl all known 127.0.0.1/32 scram-sha-256\n\
                 host all certified,known all reject\n{hba}"
            ),
        );
        server.sql("CREATE ROLE certified LOGIN SUPERUSER");
        server.sql("CREATE ROLE known LOGIN SUPERUSER PASSWORD 's3cret'");
        server.sql("ALTER SYSTEM SET ssl_ca_file = 'authority.crt'");
        server.sql("ALTER SYSTEM SET ssl = on");
        server.sql("SELECT pg_reload_conf()");
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(files.path().join(name), text).unwrap();
        write("authority.pem", &authority.certificate.pem());
        write("another.pem", &Authority::new().certificate.pem());
        let (certificate, key) = authority.issue("certified", &[]);
        write("client.pem", &certificate);
        write("client.key", &key);
        Some(Self { server, files })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Whether a new database is connected to, and the connections encrypted; or why not.
    fn connect(&self, user: &str, host: &str, parameters: &str) -> Result<bool, String> {
        let plain = self.server.new_database();
        let (_, database) = plain.rsplit_once('/').unwrap();
        let port = self.server.port();
        let url = format!("postgres://{user}@{host}:{port}/{database}?{parameters}");
        let url = url.parse().unwrap();
        storage::migrate(&url).map_err(|error| {
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            let causes: Vec<_> = causes.map(ToString::to_string).collect();
            format!("{error}: {}", causes.join(": "))
        })?;
        let database = storage::SqlDatabase::open(&url).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            use stores::Database as _;
            let asked = database
                .read(|view| keys::KeyChangeQueries::key_changes(view, 0))
                .await;
            Result::<_, stores::StoreError>::unwrap(asked);
        });
        let question = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                        WHERE application_name = 'molecule-cp' AND datname = current_database()";
        Ok(self.server.ask(&plain, question).trim() == "t")
    }
}

fn named(root: &Path) -> String {
    format!("&sslrootcert={}", root.display())
}

#[test]
fn each_mode_asks_for_what_it_says() {
    let Some(encrypted) = Encrypted::start() else {
        return;
    };
    let connect = |host, parameters: &str| encrypted.connect("postgres", host, parameters);
    let (right, wrong) = (
        named(&encrypted.file("authority.pem")),
        named(&encrypted.file("another.pem")),
    );
    assert_eq!(connect("127.0.0.1", "sslmode=disable"), Ok(false));
    assert_eq!(connect("127.0.0.1", ""), Ok(true));
    assert_eq!(connect("127.0.0.1", "sslmode=require"), Ok(true));
    assert_eq!(
        connect("127.0.0.1", &format!("sslmode=verify-ca{right}")),
        Ok(true)
    );
    assert_eq!(
        connect("localhost", &format!("sslmode=verify-full{right}")),
        Ok(true)
    );
    let refused = |host, parameters: &str| {
        let error = connect(host, parameters).unwrap_err();
        assert!(error.contains("certificate verify failed"), "{error}");
    };
    refused("127.0.0.1", &format!("sslmode=require{wrong}"));
    refused("127.0.0.1", &format!("sslmode=verify-ca{wrong}"));
    refused("localhost", &format!("sslmode=verify-full{wrong}"));
    // The certificate is not for this name, and its authority none of the system's.
    refused("127.0.0.1", &format!("sslmode=verify-full{right}"));
    refused("localhost", "sslmode=verify-full");
}

#[test]
fn the_server_may_ask_for_a_certificate_or_a_password_bound_to_the_channel() {
    let Some(encrypted) = Encrypted::start() else {
        return;
    };
    let pair = format!(
        "sslmode=require&sslcert={}&sslkey={}",
        encrypted.file("client.pem").display(),
        encrypted.file("client.key").display()
    );
    assert_eq!(encrypted.connect("certified", "127.0.0.1", &pair), Ok(true));
    let without = encrypted.connect("certified", "127.0.0.1", "sslmode=require");
    assert!(without.unwrap_err().contains("SQLSTATE 28000"));
    let bound = "sslmode=require&channel_binding=require";
    assert_eq!(
        encrypted.connect("known:s3cret", "127.0.0.1", bound),
        Ok(true)
    );
    let wrong = encrypted
        .connect("known:s3cre", "127.0.0.1", bound)
        .unwrap_err();
    assert!(
        wrong.contains("SQLSTATE 28P01") && !wrong.contains("s3cre"),
        "{wrong}"
    );
    let plain = encrypted.connect("known:s3cret", "127.0.0.1", "sslmode=disable");
    assert!(plain.unwrap_err().contains("SQLSTATE 28000"));
}

#[test]
fn any_password_and_a_unix_socket_work() {
    let Some(encrypted) = Encrypted::start() else {
        return;
    };
    // Every character that a URL gives a meaning to, and one beyond ASCII.
    encrypted
        .server
        .sql("CREATE ROLE odd LOGIN SUPERUSER PASSWORD 'a@b:c/d?e#f%g&h=i+j k''l\\m\u{e9}'");
    let hba = encrypted.server.folder().join("data/pg_hba.conf");
    let rules = fs::read_to_string(&hba).unwrap();
    fs::write(
        &hba,
        format!("host all odd 127.0.0.1/32 scram-sha-256\n{rules}"),
    )
    .unwrap();
    encrypted.server.sql("SELECT pg_reload_conf()");
    let odd = "odd:a%40b%3Ac%2Fd%3Fe%23f%25g%26h%3Di%2Bj%20k%27l%5Cm%C3%A9";
    let disabled = "sslmode=disable";
    assert_eq!(encrypted.connect(odd, "127.0.0.1", disabled), Ok(false));
    let wrong = encrypted.connect("odd:a", "127.0.0.1", disabled);
    assert!(wrong.unwrap_err().contains("SQLSTATE 28P01"));
    let socket = encrypted.server.folder().display().to_string();
    if encrypted
        .server
        .folder()
        .join(format!(".s.PGSQL.{}", encrypted.server.port()))
        .exists()
    {
        let host = socket.replace('/', "%2F");
        assert_eq!(encrypted.connect("postgres", &host, ""), Ok(false));
    }
}
