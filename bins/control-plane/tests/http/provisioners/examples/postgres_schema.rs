//! The example `postgres-schema`: each org has a schema and a role of its own.

use std::process::Command;

use serde_json::{Value, json};

use super::{
    super::{create, failure},
    path_with, program,
};
use crate::kit::{ALL_SCOPES, Server, Store};

/// The example, and what it is to work on.
struct Example {
    postgres: testkit::postgres::Server,
    url: String,
    port: String,
    database: String,
    path: String,
}

impl Example {
    fn new() -> Option<Self> {
        let postgres = testkit::postgres::Server::start()?;
        postgres.sql("create role app login");
        let url = postgres.new_database();
        let (_, database) = url.rsplit_once('/').unwrap();
        Some(Self {
            port: postgres.port().to_string(),
            database: database.to_owned(),
            path: path_with(postgres.binaries()),
            postgres,
            url,
        })
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        vec![
            ("PGHOST", "127.0.0.1"),
            ("PGPORT", &self.port),
            ("PGUSER", "postgres"),
            ("PGDATABASE", &self.database),
            ("APP_ROLE", "app"),
            ("PATH", &self.path),
        ]
    }

    fn start(&self, store: &Store) -> Server {
        let program = program("postgres-schema");
        let mut settings = self.settings();
        settings.extend([
            ("MOLECULE_CP_PROVISIONER", "exec"),
            ("MOLECULE_CP_PROVISIONER_EXEC", program.to_str().unwrap()),
            (
                "MOLECULE_CP_PROVISIONER_ENV",
                "PGHOST,PGPORT,PGUSER,PGDATABASE,APP_ROLE",
            ),
        ]);
        store.start_with(&settings)
    }

    /// Runs the program by hand.
    fn run(&self, verb: &str, id: &str) -> Option<i32> {
        let mut command = Command::new(program("postgres-schema"));
        command
            .arg(verb)
            .envs(self.settings())
            .env("MOLECULE_ORG_ID", id);
        command.output().unwrap().status.code()
    }

    /// The schemas and then the roles that there are of orgs.
    fn found(&self) -> Vec<String> {
        let actual = self.postgres.ask(
            &self.url,
            r"select nspname from pg_namespace where nspname like 'org\_%' order by 1;
              select rolname from pg_roles where rolname like 'org\_%' order by 1;",
        );
        actual.lines().map(str::to_owned).collect()
    }
}

#[test]
fn each_org_has_a_schema_and_a_role_of_its_own_as_long_as_it_lives() {
    let Some(example) = Example::new() else {
        return;
    };
    let store = Store::sqlite();
    let server = example.start(&store);
    let key = server.key(ALL_SCOPES);
    let orgs =
        ["acme-one", "acme-two"].map(|slug| key.org(slug)["id"].as_str().unwrap().to_owned());
    let [one, two] = [&orgs[0], &orgs[1]].map(|id| id.to_lowercase());
    assert_eq!(example.found(), [&*one, &*two, &*one, &*two]);

    let as_app = example.url.replace("postgres@", "app@");
    let created =
        format!("set role {one}; create table {one}.t (n int); insert into {one}.t values (7)");
    example.postgres.ask(&as_app, &created);
    let seen = |role: &str| {
        let right = format!("select has_schema_privilege('{role}', '{one}', 'usage')");
        example.postgres.ask(&example.url, &right)
    };
    assert_eq!((seen(&one).trim(), seen(&two).trim()), ("t", "f"));

    for _ in 0..2 {
        assert_eq!(example.run("provision", &orgs[0]), Some(0));
    }
    let kept = example
        .postgres
        .ask(&example.url, &format!("select n from {one}.t"));
    assert_eq!(kept.trim(), "7", "a second call changes nothing");

    key.delete(&format!("/cp/orgs/{}", orgs[0])).expect(202);
    key.wait(&orgs[0], "deleted");
    assert_eq!(example.found(), [&*two, &*two]);
    for _ in 0..2 {
        assert_eq!(example.run("deprovision", &orgs[0]), Some(0));
        assert_eq!(
            example.run("deprovision", "org_01HXKM4000000000000000000A"),
            Some(0)
        );
    }
    assert_eq!(example.run("provision", "org_1; drop table t"), Some(1));
    assert_eq!(example.found(), [&*two, &*two]);
}

#[test]
fn a_database_that_is_away_is_waited_for() {
    let Some(example) = Example::new() else {
        return;
    };
    let store = Store::sqlite();
    let server = example.start(&store);
    let key = server.key(ALL_SCOPES);
    example.postgres.stop();
    let id = create(&key, "acme-corp");
    failure(&key, &id, "provisioner-busy");
    example.postgres.restart();
    key.wait(&id, "ready");
    assert_eq!(example.found().len(), 2);
}

#[test]
fn the_url_of_the_schema_is_handed_back_and_its_password_rotated() {
    let Some(example) = Example::new() else {
        return;
    };
    let store = Store::sqlite();
    let server = example.start(&store);
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let (id, name) = (
        org["id"].as_str().unwrap(),
        org["id"].as_str().unwrap().to_lowercase(),
    );
    let outputs = json!({
        "host": "127.0.0.1", "port": example.port, "database": example.database, "schema": name,
    });
    assert_eq!(org["outputs"], outputs);
    let url = || {
        let secrets = key.get(&format!("/cp/orgs/{id}/secrets")).expect(200);
        secrets["secrets"]["DATABASE_URL"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // What the database keeps of a password.
    let stored = || {
        let asked =
            format!("select rolpassword, rolconnlimit from pg_authid where rolname = '{name}'");
        let answer = example.postgres.ask(&example.url, &asked);
        let (password, limit) = answer.trim().rsplit_once('|').unwrap();
        (password.to_owned(), limit.to_owned())
    };
    let (before, (password, limit)) = (url(), stored());
    assert_eq!(limit, "10");
    let begin = format!("postgres://{name}:");
    let end = format!("@127.0.0.1:{}/{}", example.port, example.database);
    assert!(
        before.starts_with(&begin) && before.ends_with(&end),
        "{before}"
    );
    let said = example.postgres.ask(
        &before,
        "create table t (n int); select current_user, current_schema()",
    );
    assert_eq!(said.trim(), format!("{name}|{name}"));

    key.post(&format!("/cp/orgs/{id}/rotate-secrets"), Value::Null)
        .expect(202);
    key.wait(id, "ready");
    assert_ne!(url(), before);
    assert_ne!(stored().0, password);
    assert_eq!(
        key.get(&format!("/cp/orgs/{id}")).expect(200)["outputs"],
        outputs
    );

    let rotated = stored();
    // By hand there is no plan, which is like the smallest.
    assert_eq!(example.run("update", id), Some(0));
    assert_eq!(stored(), (rotated.0, "3".to_owned()));
}
