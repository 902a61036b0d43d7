//! Keys of pipelines that have ended, deleted trust rules, used tokens and rotations that are over cost what is
//! live nothing: lists and searches find it by indexes that leave them out, or read a bounded part of the others.

#![expect(clippy::unwrap_used, reason = "test code")]

mod plans;

use std::time::{Duration as StdDuration, Instant};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use ids::{PageRequest, PartnerId, TrustRuleId, Ulid};
use keys::{KeyFilter, KeyStatus};
use storage::SqlDatabase;
use stores::{Database as _, StoreError, prelude::*};
use testkit::{build::Build, clock::START};
use time::{Duration, OffsetDateTime};

use self::plans::Statements;

/// How many keys stay, and how many keys of pipelines have left lists beside them.
const LASTING: usize = 20;
const ENDED: usize = 100_000;
/// How many calls of a list the fastest is taken of.
const CALLS: usize = 30;
/// What a list may take longer without it being noticed. To read all that is over takes several times as long.
const NOISE: StdDuration = StdDuration::from_millis(3);

const TABLES: [&str; 4] = ["partner_keys", "key_rotations", "trust_rules", "token_uses"];
/// Not searched by the whole of these: they have rows of what is over.
const WITH_ALL: [&str; 1] = ["partner_keys_partner"];

/// The time of the lists: the keys of pipelines were made ten days before.
fn now() -> OffsetDateTime {
    START + Duration::days(30)
}

/// A new database with a partner.
async fn database(url: &str) -> (SqlDatabase, (PartnerId, TrustRuleId)) {
    let url = url.parse().unwrap();
    storage::migrate(&url).unwrap();
    let db = SqlDatabase::open(&url).unwrap();
    let known = fill(&db).await;
    (db, known)
}

/// A partner with keys that stay, and two rules, of which one is deleted.
async fn fill(db: &SqlDatabase) -> (PartnerId, TrustRuleId) {
    let build = Build::new();
    let partner = build.partner();
    let (rule, deleted) = (build.trust_rule(&partner), build.trust_rule(&partner));
    let keys: Vec<_> = (0..LASTING)
        .map(|_| (build.key(&partner), build.digest()))
        .collect();
    let known = (partner.id, rule.id);
    let written = db.write(move |tx| {
        tx.partner_insert(&partner)?;
        for rule in [&rule, &deleted] {
            tx.trust_rule_insert(rule)?;
        }
        for (key, digest) in &keys {
            tx.key_insert(key, digest)?;
        }
        tx.trust_rule_delete(deleted.id)
    });
    let written: Result<bool, StoreError> = written.await;
    assert!(written.unwrap());
    known
}

/// Adds what is over; `numbers` is a table of their numbers `n`, each key copied from one that stays.
fn over(numbers: &str, rule: TrustRuleId, bytes: &str) -> String {
    let made = START + Duration::days(20);
    let ms = u64::try_from(made.unix_timestamp() * 1000).unwrap();
    let prefix = &Ulid::from_parts(ms, 0).to_string()[..10];
    let micros = made.unix_timestamp() * 1_000_000;
    let day = 86_400_000_000_i64;
    // Half of the keys have made an org, so they are never deleted.
    format!(
        "INSERT INTO partner_keys (id, partner_id, name, digest, scopes, disabled, labels, key_prefix, created_at, \
         created_by, expires_at, prune_after) \
         SELECT 'pak_{prefix}' || substr('0000000000000000' || n, length('' || n) + 1), partner_id, name, \
         CAST('digest ' || n AS {bytes}), scopes, disabled, labels, key_prefix, {micros}, '{rule}', {micros}, \
         CASE n % 2 WHEN 0 THEN 9223372036854775807 ELSE {micros} + {day} END \
         FROM (SELECT * FROM partner_keys ORDER BY id LIMIT 1) AS one, {numbers}; \
         INSERT INTO key_rotations (key_id, created_at, older_digest, older_prefix, older_created_at, older_expires_at) \
         SELECT id, created_at, digest, key_prefix, created_at, created_at FROM partner_keys \
         WHERE created_by = '{rule}'; \
         INSERT INTO trust_rules (id, partner_id, name, issuer, audience, claims, refuse, scopes, token_ttl_seconds, \
         enabled, created_at, deleted, keys_to_revoke) \
         SELECT 'tru_' || n, partner_id, name, issuer, audience, claims, refuse, scopes, token_ttl_seconds, enabled, \
         created_at, deleted, keys_to_revoke FROM trust_rules, {numbers} WHERE deleted; \
         INSERT INTO token_uses (digest, used_until) \
         SELECT CAST('use ' || n AS {bytes}), 4000000000000000 FROM {numbers};"
    )
}

/// Every filter of a list of keys, by an admin and by a partner.
fn filters(partner: PartnerId) -> Vec<KeyFilter> {
    let all = KeyFilter {
        listed_at: Some(now()),
        ..KeyFilter::default()
    };
    let with_status = |status| KeyFilter {
        status: Some((status, now())),
        ..all
    };
    let mut filters = vec![
        all,
        KeyFilter {
            expires_before: Some(now() - Duration::days(2)),
            ..all
        },
        KeyFilter {
            expires_before: Some(now() + Duration::days(1)),
            ..all
        },
        KeyFilter {
            unused_since: Some(now() - Duration::days(2)),
            ..all
        },
    ];
    let statuses = [
        KeyStatus::Active,
        KeyStatus::Disabled,
        KeyStatus::Expired,
        KeyStatus::Revoked,
    ];
    filters.extend(statuses.map(with_status));
    let of_partner = |filter: &KeyFilter| KeyFilter {
        partner_id: Some(partner),
        ..*filter
    };
    let of_partner: Vec<_> = filters.iter().map(of_partner).collect();
    filters.extend(of_partner);
    filters
}

/// How many keys of those that stay a filter includes.
fn expected(filter: &KeyFilter) -> usize {
    let is_active = filter
        .status
        .is_none_or(|(status, _)| status == KeyStatus::Active);
    if is_active && filter.expires_before.is_none() {
        LASTING
    } else {
        0
    }
}

/// How long a list took.
async fn list(db: &SqlDatabase, filter: KeyFilter) -> StdDuration {
    let read = db.read(move |view| {
        let began = Instant::now();
        let page = view.keys(&filter, PageRequest::new(LASTING, None))?;
        let took = began.elapsed();
        assert_eq!(page.items.len(), expected(&filter), "{filter:?}");
        assert_eq!(page.next, None, "{filter:?}");
        Ok::<_, StoreError>(took)
    });
    read.await.unwrap()
}

/// Compares the lists of two databases, of which only the second has what is over. The calls take turns, so that a busy
/// machine slows both.
async fn compare(
    engine: &str,
    alone: (&SqlDatabase, PartnerId),
    beside: (&SqlDatabase, PartnerId),
) {
    for (of_alone, of_beside) in filters(alone.1).into_iter().zip(filters(beside.1)) {
        let mut fastest = [StdDuration::MAX; 2];
        for _ in 0..CALLS {
            fastest[0] = fastest[0].min(list(alone.0, of_alone).await);
            fastest[1] = fastest[1].min(list(beside.0, of_beside).await);
        }
        println!("{engine}: {fastest:?} alone and beside {ENDED} ended: {of_beside:?}");
        let bound = fastest[0] * 2 + NOISE;
        assert!(fastest[1] <= bound, "{engine}: {fastest:?}, {of_beside:?}");
    }
}

/// Asks for all that is live or due, and gives the statements.
async fn asked(
    db: &SqlDatabase,
    (partner, rule): (PartnerId, TrustRuleId),
    told: &Statements,
) -> Vec<String> {
    told.take();
    let unknown = [Build::new().digest(), Build::new().digest()];
    let found = db.read(move |view| view.keys_by_digest(&unknown));
    let found: Result<Vec<_>, StoreError> = found.await;
    assert_eq!(found.unwrap(), []);
    let mut statements = told.take();
    statements.retain(|it| it.starts_with("SELECT") || it.starts_with("(SELECT"));
    assert_eq!(
        statements.len(),
        1,
        "an unknown token is one question: {statements:#?}"
    );
    let questions = db.read(move |view| {
        for filter in filters(partner) {
            view.keys(&filter, PageRequest::new(LASTING, None))?;
            view.keys(
                &filter,
                PageRequest::new(LASTING, Some(Ulid::from(u128::MAX))),
            )?;
        }
        let page = PageRequest::new(20, None);
        assert_eq!(view.trust_rules(None, page)?.items.len(), 1);
        assert_eq!(view.trust_rules(Some(partner), page)?.items.len(), 1);
        assert_eq!(view.trust_rule_count(partner)?, 1);
        assert!(view.trust_rule_with_keys_to_revoke()?.is_none());
        assert!(view.rotations_due(now(), 100)?.is_empty());
        assert_eq!(view.rotations_running(100)?, 0);
        Ok::<_, StoreError>(())
    });
    questions.await.unwrap();
    let work = db.write(move |tx| {
        assert_eq!(tx.keys_of_rule_revoke(rule, now(), 10)?, []);
        assert_eq!(tx.keys_prune(START, 10)?, 0);
        assert_eq!(tx.token_uses_prune(START, 10)?, 0);
        Ok::<_, StoreError>(())
    });
    work.await.unwrap();
    statements.extend(told.take());
    let is_query = |it: &str| it.starts_with("SELECT") || it.starts_with("(SELECT");
    statements.retain(|it| is_query(it) && TABLES.iter().any(|table| it.contains(table)));
    statements.sort();
    statements.dedup();
    assert!(statements.len() >= 10, "{statements:#?}");
    statements
}

fn check(statement: &str, plan: &str) {
    for line in plan.lines() {
        let whole = TABLES.iter().any(|table| {
            let scan = line.contains(&format!("SCAN {table}")) && !line.contains("USING");
            scan || line.contains(&format!("Seq Scan on {table}"))
        });
        assert!(!whole, "{statement}\n{plan}");
        let sorts = line.contains("TEMP B-TREE") || line.contains("Sort");
        assert!(!sorts, "{statement}\n{plan}");
    }
    let null = ["`prune_after` IS NULL", "\"prune_after\" IS NULL"];
    if null.iter().any(|condition| statement.contains(condition)) {
        assert!(plan.contains("partner_keys_lasting"), "{statement}\n{plan}");
    }
    // What reads keys that are over begins at an id.
    for index in WITH_ALL {
        let is_bound = statement.contains("`id` >=") || statement.contains("\"id\" >=");
        assert!(
            !plan.contains(&format!("{index} ")) || is_bound,
            "{statement}\n{plan}"
        );
    }
}

/// One test, for what connections run is noted for the whole process.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_costs_what_is_live_nothing() {
    let told = Statements::record();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (alone, partner) = database(&format!("sqlite:{}", file("alone.db"))).await;
    let (db, known) = database(&format!("sqlite:{}", file("cp.db"))).await;
    let mut sqlite = SqliteConnection::establish(&file("cp.db")).unwrap();
    let numbers = format!(
        "(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers \
         WHERE n < {ENDED}) SELECT n FROM numbers) AS numbers"
    );
    sqlite
        .batch_execute(&over(&numbers, known.1, "BLOB"))
        .unwrap();
    compare("sqlite", (&alone, partner.0), (&db, known.0)).await;
    for statement in asked(&db, known, &told).await {
        check(&statement, &plans::on_sqlite(&mut sqlite, &statement));
    }

    let Some(server) = testkit::postgres::Server::shared() else {
        return;
    };
    let (alone, partner) = database(&server.new_database()).await;
    let name = server.new_database();
    let (db, known) = database(&name).await;
    let rows = over(
        &format!("generate_series(1, {ENDED}) AS n"),
        known.1,
        "BYTEA",
    );
    server.ask(&name, &format!("{rows} ANALYZE;"));
    compare("postgres", (&alone, partner.0), (&db, known.0)).await;
    for statement in asked(&db, known, &told).await {
        check(
            &statement,
            &plans::on_postgres(server, &name, "", &statement),
        );
    }
}
