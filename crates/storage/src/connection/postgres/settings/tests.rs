//! What URLs say.

use super::*;

fn read(url: &str) -> Settings {
    Settings::read(url).unwrap()
}

fn refused(url: &str) -> String {
    Settings::read(url).err().unwrap().to_string()
}

fn tcp(host: &str, port: u16) -> ServerAddress {
    ServerAddress::Tcp {
        host: host.to_owned(),
        address: None,
        port,
    }
}

#[test]
fn a_silent_server_is_given_up_unless_the_url_says_otherwise() {
    let assumed = read("postgres://localhost/cp");
    assert_eq!(assumed.connect_timeout, Some(Duration::from_secs(5)));
    assert_eq!(assumed.user_timeout, Some(Duration::from_secs(8)));
    assert!(assumed.keepalive.is_some() && assumed.writable);
    assert_eq!(assumed.config.get_application_name(), Some("molecule-cp"));
    let chosen = read(
        "postgres://localhost/cp?connect_timeout=1&target_session_attrs=any&keepalives=0\
         &tcp_user_timeout=0&application_name=mine",
    );
    assert_eq!(chosen.connect_timeout, Some(Duration::from_secs(1)));
    assert_eq!(chosen.user_timeout, None);
    assert!(chosen.keepalive.is_none() && !chosen.writable);
    assert_eq!(chosen.config.get_application_name(), Some("mine"));
}

#[test]
fn who_connects_is_told_before_the_parameters_or_among_them() {
    let before = read("postgres://me:p?w%40@db:7/cp?sslmode=disable");
    let among = read("postgres:///?host=db&port=7&user=me&password=p?w%40&dbname=cp");
    for settings in [before, among] {
        assert_eq!(settings.config.get_user(), Some("me"));
        assert_eq!(settings.config.get_password(), Some("p?w@".as_bytes()));
        assert_eq!(settings.config.get_dbname(), Some("cp"));
        assert_eq!(settings.servers, [tcp("db", 7)]);
    }
    let user = read("postgres://localhost/cp?user=me@corp");
    assert_eq!(user.config.get_user(), Some("me@corp"));
}

#[test]
fn servers_are_tried_in_their_order() {
    let two = read("postgres://one,two:6432/cp?sslmode=disable");
    assert_eq!(two.servers, [tcp("one", 5432), tcp("two", 6432)]);
    let six = read("postgres://[2001:db8::1]:5433/cp?sslmode=disable");
    assert_eq!(six.servers, [tcp("2001:db8::1", 5433)]);
    let socket = |folder: &str| ServerAddress::Unix(format!("{folder}/.s.PGSQL.5432").into());
    let unix = read("postgres://%2Frun%2Fpg/cp");
    assert_eq!(unix.servers, [socket("/run/pg")]);
    let unix = read("postgres:///cp?host=/run/pg");
    assert_eq!(unix.servers, [socket("/run/pg")]);
    let none = read("postgres:///cp");
    assert_eq!(
        none.servers,
        [socket("/var/run/postgresql"), socket("/tmp")]
    );
    let address = read("postgres://db/cp?hostaddr=10.0.0.7&sslmode=disable");
    let server = ServerAddress::Tcp {
        host: "db".to_owned(),
        address: Some([10, 0, 0, 7].into()),
        port: 5432,
    };
    assert_eq!(address.servers, [server]);
}

#[test]
fn the_mode_says_what_is_encrypted_and_verified() {
    let tls = |mode: &str| read(&format!("postgres://localhost/cp?sslmode={mode}")).tls;
    let own = || Roots::File("/etc/own.pem".into());
    let cases = [
        ("disable", SslMode::Disable, Verify::Nothing),
        ("allow", SslMode::Prefer, Verify::Nothing),
        ("prefer", SslMode::Prefer, Verify::Nothing),
        ("require", SslMode::Require, Verify::Nothing),
        (
            "require&sslrootcert=/etc/own.pem",
            SslMode::Require,
            Verify::Authority(own()),
        ),
        (
            "verify-ca&sslrootcert=/etc/own.pem",
            SslMode::Require,
            Verify::Authority(own()),
        ),
        (
            "verify-full&sslrootcert=/etc/own.pem",
            SslMode::Require,
            Verify::AuthorityAndName(own()),
        ),
        (
            "verify-full",
            SslMode::Require,
            Verify::AuthorityAndName(Roots::System),
        ),
        (
            "verify-full&sslrootcert=system",
            SslMode::Require,
            Verify::AuthorityAndName(Roots::System),
        ),
    ];
    for (text, mode, verify) in cases {
        let tls = tls(text);
        assert_eq!((tls.mode, tls.verify), (mode, verify), "{text}");
    }
    let assumed = read("postgres://localhost/cp").tls;
    assert_eq!(assumed.mode, SslMode::Prefer);
    let ssl = read("postgres://localhost/cp?ssl=true").tls;
    assert_eq!(ssl.mode, SslMode::Require);
}

#[test]
fn what_can_t_be_done_is_refused_and_not_passed_over() {
    let refused = |parameter: &str| refused(&format!("postgres://localhost/cp?{parameter}"));
    assert!(refused("sslcrl=/etc/crl").contains("sslcrl is not supported"));
    assert!(refused("gssencmode=require").contains("gssencmode"));
    assert!(refused("sslmode=sure").contains("sslmode"));
    assert!(refused("sslmode=verify-ca").contains("sslrootcert"));
    assert!(refused("sslmode=require&sslrootcert=system").contains("verify-full"));
    assert!(refused("target_session_attrs=standby").contains("standby"));
    assert!(refused("port=x").contains("port"));
    read("postgres://localhost/cp?gssencmode=disable&client_encoding=UTF8");
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
