//! What callers and operators meet with when the database is silent, read-only or has no connections left.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt, chown},
        process::CommandExt as _,
    },
    process::Output,
    thread,
    time::{Duration, Instant},
};

use testkit::postgres::Server as Postgres;

use crate::kit::{ALL_SCOPES, Caller, Server, Store, tls, within};

/// How long a caller may be kept waiting, and how long an outage may outlast its cause.
const LIMIT: Duration = Duration::from_secs(10);
/// An orchestrator kills after this.
const END: Duration = Duration::from_secs(30);

#[track_caller]
fn is_unavailable(server: &Server, callers: &[&Caller]) {
    within(LIMIT, "the server is not ready", || {
        (server.anon().get("/readyz").status == 503).then_some(())
    });
    thread::scope(|scope| {
        for caller in callers {
            for path in ["/cp/whoami", "/cp/orgs"] {
                scope.spawn(move || {
                    let begun = Instant::now();
                    caller.get(path).problem(503, "unavailable");
                    assert!(begun.elapsed() < LIMIT, "{path}: {:?}", begun.elapsed());
                });
            }
        }
    });
    server.anon().get("/readyz").problem(503, "unavailable");
    server.anon().get("/healthz").expect(200);
}

#[track_caller]
fn is_right_again(server: &Server, key: &Caller) {
    within(LIMIT, "calls are answered again", || {
        let answered = |path| key.get(path).status == 200;
        (answered("/cp/orgs") && answered("/cp/whoami")).then_some(())
    });
    within(LIMIT, "the server is ready", || {
        (server.anon().get("/readyz").status == 200).then_some(())
    });
    key.org(&format!("acme-{}", key.all("/cp/orgs").len()));
}

#[test]
fn a_silent_database_delays_no_response_and_no_shutdown() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let store = Store::at(postgres.new_database());
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    is_right_again(&server, &key);
    postgres.pause();
    is_unavailable(&server, &[&key, &server.admin()]);
    postgres.resume();
    is_right_again(&server, &key);
    postgres.pause();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| key.get("/cp/orgs").problem(503, "unavailable"));
        }
    });
    let (status, log) = server.terminate(END);
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_read_only_server_is_unavailable_until_it_takes_changes() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let read_only = |value: &str| {
        postgres.sql(&format!(
            "ALTER SYSTEM SET default_transaction_read_only = {value}"
        ));
        postgres.sql("SELECT pg_reload_conf()");
    };
    let store = Store::at(postgres.new_database());
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    is_right_again(&server, &key);
    read_only("on");
    is_unavailable(&server, &[&key, &server.admin()]);
    read_only("off");
    is_right_again(&server, &key);
}

/// Modes mean nothing to root, so the server is somebody else's process then.
#[test]
fn an_sqlite_file_without_its_write_bit_is_unavailable_until_it_has_it() {
    let store = Store::sqlite();
    drop(store.start());
    let mut program = store.program(&["serve"], &[]);
    let files = || {
        fs::read_dir(store.folder())
            .unwrap()
            .map(|file| file.unwrap().path())
    };
    if store.folder().metadata().unwrap().uid() == 0 {
        const NOBODY: u32 = 65_534;
        for path in files().chain([store.folder().to_owned()]) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        program.uid(NOBODY).gid(NOBODY);
    }
    let file = store.folder().join("molecule.db");
    let set_mode = |mode| fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
    set_mode(0o400);
    let server = Server::start(program);
    is_unavailable(&server, &[&server.admin()]);
    set_mode(0o600);
    within(LIMIT, "the server is ready", || {
        (server.anon().get("/readyz").status == 200).then_some(())
    });
    is_right_again(&server, &server.key(ALL_SCOPES));
}

fn with_role(postgres: &Postgres, role: &str, connections: u32) -> String {
    let url = postgres.new_database();
    let (_, database) = url.rsplit_once('/').unwrap();
    postgres.sql(&format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT {connections}; \
         ALTER DATABASE {database} OWNER TO {role}"
    ));
    url.replace("postgres@", &format!("{role}@"))
}

#[test]
fn with_few_connections_left_the_server_says_so_and_works() {
    let Some(postgres) = Postgres::shared() else {
        return;
    };
    let store = Store::at(with_role(postgres, "few", 5));
    let server = store.start();
    let warned = server.log().contains("fewer connections left");
    assert!(warned, "{}", server.log());
    let key = server.key(ALL_SCOPES);
    thread::scope(|scope| {
        for n in 0..16 {
            let key = &key;
            scope.spawn(move || {
                key.org(&format!("acme-{n}"));
                key.get("/cp/orgs").expect(200);
            });
        }
    });
}

#[test]
fn with_too_few_connections_the_start_is_refused_with_the_reason() {
    let Some(postgres) = Postgres::shared() else {
        return;
    };
    let store = Store::at(with_role(postgres, "too_few", 3));
    let output = store.run(&["serve"], &[]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("connections that are needed"), "{log}");
    assert!(log.contains("too many connections for role"), "{log}");
}

#[test]
fn no_more_connections_are_opened_than_configured() {
    let Some(postgres) = Postgres::shared() else {
        return;
    };
    let url = postgres.new_database();
    let store = Store::at(url.clone());
    let server = store.start_with(&[("MOLECULE_CP_DATABASE_POOL", "6")]);
    let key = server.key(ALL_SCOPES);
    let count = "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    thread::scope(|scope| {
        for n in 0..16 {
            let key = &key;
            scope.spawn(move || {
                key.org(&format!("acme-{n}"));
                key.get("/cp/orgs").expect(200);
            });
        }
        for _ in 0..5 {
            let connections: u32 = postgres.ask(&url, count).trim().parse().unwrap();
            assert!(connections <= 6, "{connections}");
        }
    });
}

/// Has a server speak TLS, with the certificate that the webhooks' tests have.
fn with_tls(postgres: &Postgres) -> std::path::PathBuf {
    let data = postgres.folder().join("data");
    let owner = data.metadata().unwrap();
    let write = |name: &str, pem: String| {
        let file = data.join(name);
        fs::write(&file, pem).unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        chown(&file, Some(owner.uid()), Some(owner.gid())).unwrap();
        file
    };
    let (certificate, key) = tls::localhost_pem();
    write("server.crt", certificate);
    write("server.key", key);
    postgres.sql("ALTER SYSTEM SET ssl = on");
    postgres.sql("SELECT pg_reload_conf()");
    write("authority.crt", tls::authority_pem())
}

/// A process that ends while one of its threads still connects must not crash, which it would do now and
/// then.
#[test]
fn commands_over_tls_end_in_good_order() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let authority = with_tls(&postgres);
    let url = postgres.new_database();
    let store = Store::at(format!("{url}?sslmode=require"));
    drop(store.start());
    let succeeded = |output: Output| assert!(output.status.success(), "{output:#?}");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..15 {
                    succeeded(store.run(&["admin-key", "list"], &[]));
                }
            });
        }
    });
    let verified = url.replace("127.0.0.1", "localhost") + "?sslmode=verify-full";
    let own = format!("{verified}&sslrootcert={}", authority.display());
    succeeded(Store::at(own).run(&["admin-key", "list"], &[]));
    // The system's certificates are found, and this authority is not among them.
    let output = Store::at(verified).run(&["admin-key", "list"], &[]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("certificate verify failed"), "{log}");
}

/// Four instances with pools of 16 share what a server with `max_connections = 20` leaves to a role.
#[test]
fn instances_share_a_server_with_few_connections() {
    let Some(postgres) = Postgres::shared() else {
        return;
    };
    let store = Store::at(with_role(postgres, "crowd", 17));
    let mut servers = vec![store.start()];
    let key = servers[0].key(ALL_SCOPES);
    for n in 1..4 {
        match Server::try_start(store.program(&["serve"], &[])) {
            Ok(server) => servers.push(server),
            // It says what to raise, or to lower.
            Err(error) => assert!(error.to_string().contains("connections"), "{n}: {error}"),
        }
    }
    for server in &servers {
        is_right_again(server, &server.with_token(key.token()));
    }
}
