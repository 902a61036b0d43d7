use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use ids::OrgId;
use orgs::{Step, StepName, Subscription};
use stores::prelude::*;

use super::*;
use crate::session::Reading;

fn on_both_engines(check: impl Fn(&DatabaseUrl)) {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:{}", folder.path().join("cp.db").display());
    check(&file.parse().unwrap());
    if let Some(server) = testkit::postgres::Server::shared() {
        check(&server.new_database().parse().unwrap());
    }
}

fn execute(session: &mut Session<Writing>, sql: &str) {
    session
        .run(|connection| connection.batch_execute(sql))
        .unwrap();
}

#[test]
fn a_database_that_a_newer_version_has_added_to_is_used_and_one_that_it_took_from_is_refused() {
    on_both_engines(|url| {
        assert!(!pending_migrations(url).unwrap().is_empty());
        migrate(url).unwrap();
        assert!(pending_migrations(url).unwrap().is_empty());
        check::<Reading>(url).unwrap();
        let mut session = connect::<Writing>(url).unwrap();
        execute(
            &mut session,
            "INSERT INTO __diesel_schema_migrations (version) VALUES ('20990101')",
        );
        check::<Reading>(url).unwrap();
        assert!(migrate(url).unwrap().is_empty());
        execute(
            &mut session,
            "INSERT INTO meta (name, value) VALUES ('contracted', '20990101')",
        );
        let is_newer = |outcome| matches!(outcome, Err(OpenError::Newer(v)) if v == ["20990101"]);
        assert!(is_newer(check::<Reading>(url)));
        assert!(is_newer(migrate(url).map(drop)));
        assert!(is_newer(pending_migrations(url).map(drop)));
        // What this version knows of has been reckoned with.
        let known = "UPDATE meta SET value = (SELECT min(version) FROM __diesel_schema_migrations) \
                     WHERE name = 'contracted'";
        execute(&mut session, known);
        check::<Reading>(url).unwrap();
    });
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    on_both_engines(|url| {
        if let Some(path) = url.sqlite_path() {
            files::create_database_file(path).unwrap();
        }
        let mut session = connect::<Writing>(url).unwrap();
        execute(
            &mut session,
            "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY, run_on TIMESTAMP);
             INSERT INTO __diesel_schema_migrations (version) VALUES ('20240101');
             CREATE TABLE orders (id BIGINT);",
        );
        let is_foreign = |outcome| matches!(outcome, Err(OpenError::Foreign { tables, .. }) if tables == ["orders"]);
        assert!(is_foreign(migrate(url).map(drop)));
        assert!(is_foreign(check::<Reading>(url)));
        assert!(is_foreign(pending_migrations(url).map(drop)));
    });
}

/// Whoever migrates may take long; `lock_timeout` and the like are for calls.
#[test]
fn a_process_waits_for_another_that_migrates() {
    const MIGRATION: Duration = Duration::from_secs(7);
    on_both_engines(|url| {
        if let Some(path) = url.sqlite_path() {
            files::create_database_file(path).unwrap();
        }
        let mut session = connect::<Writing>(url).unwrap();
        let begun = Instant::now();
        let (locked_tables, is_locked) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                locked(&mut session, |_| {
                    locked_tables.send(()).unwrap();
                    std::thread::sleep(MIGRATION);
                    Ok(())
                })
                .unwrap();
            });
            is_locked.recv().unwrap();
            assert!(!migrate(url).unwrap().is_empty());
        });
        assert!(begun.elapsed() >= MIGRATION);
    });
}

/// Tables are made by whoever may; the server itself needs no such right.
#[test]
fn a_role_without_the_right_to_change_tables_works_on_a_database_that_is_up_to_date() {
    let Some(server) = testkit::postgres::Server::shared() else {
        return;
    };
    let owner = server.new_database();
    migrate(&owner.parse().unwrap()).unwrap();
    server.ask(
        &owner,
        "CREATE ROLE plain LOGIN;
         REVOKE CREATE ON SCHEMA public FROM PUBLIC;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO plain;
         GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO plain;",
    );
    let plain: DatabaseUrl = owner.replace("postgres@", "plain@").parse().unwrap();
    assert!(migrate(&plain).unwrap().is_empty());
    check::<Reading>(&plain).unwrap();
    let mut session = connect::<Writing>(&plain).unwrap();
    let refused = session.run(|connection| connection.batch_execute("CREATE TABLE x (id BIGINT)"));
    assert!(refused.is_err(), "the role may change tables");
}

/// A table that is written anew takes as long as it is large.
#[test]
fn a_migration_may_take_longer_than_a_statement_does() {
    let Some(server) = testkit::postgres::Server::shared() else {
        return;
    };
    let url = server.new_database().parse().unwrap();
    migrate(&url).unwrap();
    let mut session = connect::<Writing>(&url).unwrap();
    let run = |connection: &mut AnyConnection, sql: &str| connection.batch_execute(sql);
    session
        .run(|connection| run(connection, "SET statement_timeout = '50ms'"))
        .unwrap();
    let slow = "SELECT pg_sleep(0.3)";
    locked(&mut session, |connection| {
        run(connection, slow).map_err(|error| error::store_error(&error).into())
    })
    .unwrap();
    assert!(session.run(|connection| run(connection, slow)).is_err());
}

/// Two orgs, the first with steps and a subscription.
async fn two_orgs(url: &DatabaseUrl, steps: &[Step], subscription: Subscription) -> [OrgId; 2] {
    use stores::{Database as _, prelude::*};

    migrate(url).unwrap();
    let build = testkit::build::Build::new();
    let partner = build.partner();
    let (key, digest) = (build.key(&partner), build.digest());
    let (full, bare) = (build.org(&key), build.org(&key));
    let ids = [full.id, bare.id];
    let steps = steps.to_vec();
    let database = crate::SqlDatabase::open(url).unwrap();
    let written = database.write(move |tx| {
        tx.partner_insert(&partner)?;
        tx.key_insert(&key, &digest)?;
        for (org, steps) in [(&full, &steps[..]), (&bare, &[])] {
            tx.slug_acquire(&org.slug, org.id, org.partner_id, org.created_at)?;
            tx.org_insert(org, steps)?;
        }
        tx.subscription_put(&full, &subscription)
    });
    written.await.unwrap();
    ids
}

/// How many rows of a table there are of which this is true.
fn count(session: &mut Session<Writing>, table: &str, what: &str) -> usize {
    let question = format!("DELETE FROM {table} WHERE {what}");
    let counted: Result<(), Counted> = session.nested(|session| {
        let deleted = session.run(|c| diesel::RunQueryDsl::execute(diesel::sql_query(question), c));
        Err(Counted(deleted.unwrap()))
    });
    counted.unwrap_err().0
}

/// A count, as the error that undoes what was done for it.
#[derive(Debug)]
struct Counted(usize);

impl From<StoreError> for Counted {
    fn from(error: StoreError) -> Self {
        panic!("{error}")
    }
}

/// What stood in rows of its own is the same in the org's row, down and up again.
async fn all_survives(url: &DatabaseUrl, steps: [&str; 2], subscriptions: [&str; 2]) {
    let at = testkit::build::Build::new().partner().created_at;
    let mut all = StepName::PROVISIONING_STEPS.map(Step::pending);
    for step in &mut all {
        step.begin(at);
    }
    all.first_mut().unwrap().end(true, at);
    let subscription = Subscription {
        cancel_at: Some(at),
        ..Subscription::starting(at)
    };
    let ids = two_orgs(url, &all, subscription).await;
    let mut session = connect::<Writing>(url).unwrap();
    let run = |session: &mut Session<Writing>, sql: &str| {
        session.run(|c| c.batch_execute(sql)).unwrap();
    };

    let [up, down] = subscriptions;
    run(&mut session, down);
    assert_eq!(count(&mut session, "subscriptions", "true"), 1);
    let it = "status = 'active' AND current_period_end > current_period_start \
              AND cancel_at = current_period_start";
    assert_eq!(count(&mut session, "subscriptions", it), 1);

    let [steps_up, steps_down] = steps;
    run(&mut session, steps_down);
    assert_eq!(count(&mut session, "org_steps", "attempts = 1"), 2);
    let first = "position = 0 AND name = 'provision' AND status = 'succeeded' \
                 AND started_at < finished_at + 1";
    assert_eq!(count(&mut session, "org_steps", first), 1);
    let second = "position = 1 AND name = 'workspace' AND finished_at IS NULL";
    assert_eq!(count(&mut session, "org_steps", second), 1);

    run(&mut session, steps_up);
    run(&mut session, up);
    assert_eq!(session.org_steps(ids[0]).unwrap(), all);
    assert_eq!(session.org_steps(ids[1]).unwrap(), []);
    assert_eq!(session.subscription(ids[0]).unwrap(), Some(subscription));
    assert_eq!(session.subscription(ids[1]).unwrap(), None);
}

/// What a migration does and undoes.
macro_rules! migration {
    ($engine:literal, $name:literal) => {
        [
            include_str!(concat!(
                "../../../../migrations/",
                $engine,
                "/",
                $name,
                "/up.sql"
            )),
            include_str!(concat!(
                "../../../../migrations/",
                $engine,
                "/",
                $name,
                "/down.sql"
            )),
        ]
    };
}

#[tokio::test]
async fn what_moves_into_the_rows_of_orgs_survives() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cp.db");
    let url = format!("sqlite:{}", file.display()).parse().unwrap();
    all_survives(
        &url,
        migration!("sqlite", "2026-11-25-000011_org_steps"),
        migration!("sqlite", "2026-11-26-000013_subscriptions"),
    )
    .await;
    if let Some(server) = testkit::postgres::Server::shared() {
        all_survives(
            &server.new_database().parse().unwrap(),
            migration!("postgres", "2026-11-25-000011_org_steps"),
            migration!("postgres", "2026-11-26-000013_subscriptions"),
        )
        .await;
    }
}

diesel::table! {
    audit_mentions (subject, second) {
        subject -> Binary,
        second -> BigInt,
    }
}

/// Whom a second mentions is told by rows before the migration and by an index after it.
#[tokio::test]
async fn mentions_are_found_again_when_the_index_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cp.db");
    let url = format!("sqlite:{}", file.display()).parse().unwrap();
    mentions_survive(&url, migration!("sqlite", "2026-11-26-000014_audit_index")).await;
    if let Some(server) = testkit::postgres::Server::shared() {
        let url = server.new_database().parse().unwrap();
        let numbered = migration!("postgres", "2026-11-26-000015_numbered_segments");
        mentions_survive(&url, numbered).await;
    }
}

async fn mentions_survive(url: &DatabaseUrl, [up, down]: [&str; 2]) {
    use stores::Database as _;

    migrate(url).unwrap();
    let build = testkit::build::Build::new();
    let database = crate::SqlDatabase::open(url).unwrap();
    let (mut mentions, mut all) = (BTreeSet::new(), Vec::new());
    // The length of what each has of subjects takes one byte, two, and three.
    for keys in [1, 2, 7, 8, 20, 500] {
        let events: Vec<_> = (0..keys)
            .map(|_| build.event(&build.key(&build.partner())))
            .collect();
        let second = |event: &audit::Event| ids::TypedId::ulid(event.id).timestamp_ms() / 1000;
        let last = events.iter().map(second).max().unwrap();
        for event in &events {
            let audit::Actor::PartnerKey { id, partner_id } = event.actor else {
                unreachable!()
            };
            let mentioned = |kind: u8, id| {
                let id = u128::from(id).to_be_bytes();
                ([&[kind], &id[..]].concat(), i64::try_from(last).unwrap())
            };
            mentions.insert(mentioned(2, ids::TypedId::ulid(id)));
            mentions.insert(mentioned(1, ids::TypedId::ulid(partner_id)));
        }
        all.extend(events.clone());
        let written = database.write(move |tx| {
            use stores::prelude::*;
            events
                .iter()
                .try_for_each(|event| tx.event_record(event).map(drop))
        });
        written.await.map_err(|error: StoreError| error).unwrap();
    }
    drop(database);

    let mut session = connect::<Writing>(url).unwrap();
    session.run(|c| c.batch_execute(down)).unwrap();
    let told: Vec<(Vec<u8>, i64)> = session
        .run(|connection| {
            use diesel::RunQueryDsl as _;
            audit_mentions::table.load(connection)
        })
        .unwrap();
    assert_eq!(told.len(), mentions.len());
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), mentions);

    session.run(|c| c.batch_execute(up)).unwrap();
    drop(session);
    let mut reader = connect::<Reading>(url).unwrap();
    for event in &all {
        use stores::prelude::*;
        let audit::Actor::PartnerKey { id, .. } = event.actor else {
            unreachable!()
        };
        let filter = audit::EventFilter {
            actor: Some(audit::ActorId::Key(id)),
            ..audit::EventFilter::all(audit::AuditVisibility::All)
        };
        let page = ids::PageRequest::new(2, None);
        let told = reader.events(&filter, page).unwrap().items;
        assert_eq!(told, std::slice::from_ref(event));
    }
}

#[test]
fn both_engines_have_the_same_migrations() {
    let of = |folder: &str| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/");
        let mut names: Vec<_> = std::fs::read_dir(format!("{root}{folder}"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(of("sqlite"), of("postgres"));
}
