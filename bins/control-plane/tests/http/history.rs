//! The audit log in the operator's hands: exported, pruned, and written behind the responses.

use std::{process::Output, thread, time::Duration};

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::kit::{Server, Store, within};

on_both_engines![
    the_log_is_exported_as_lines_of_json_the_oldest_first,
    old_events_are_pruned_beside_a_server_and_that_is_audited,
    relaxed_responses_are_audited_soon_and_at_shutdown,
];

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:#?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn exported(store: &Store, arguments: &[&str]) -> Vec<Value> {
    let output = store.run(&[&["audit", "export"], arguments].concat(), &[]);
    let lines = text(&output);
    assert!(output.stderr.is_empty(), "{output:#?}");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn at(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).unwrap()
}

fn when(event: &Value) -> OffsetDateTime {
    at(event["occurred_at"].as_str().unwrap())
}

/// Calls of several kinds, some of them at once.
fn some_calls(server: &Server) {
    let key = server.key(&["orgs:create", "orgs:list", "orgs:delete"]);
    key.org("acme-corp");
    key.post("/cp/orgs", json!({}))
        .problem(422, "validation-failed");
    key.get("/cp/orgs/nonsense").problem(404, "not-found");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    key.get("/cp/orgs").expect(200);
                }
            });
        }
    });
}

fn the_log_is_exported_as_lines_of_json_the_oldest_first(store: Store) {
    let server = store.start();
    some_calls(&server);
    let actual = server.events("");
    // What is younger than two seconds may still be joined by others.
    let young = exported(&store, &[]);
    assert!(young.len() < actual.len(), "{young:#?}");
    thread::sleep(Duration::from_millis(2100));
    let all = exported(&store, &[]);
    assert!(all.starts_with(&actual), "{all:#?}");
    // Between two of the events, to the microsecond.
    let middle = actual[actual.len() / 2]["occurred_at"].as_str().unwrap();
    let (before, from): (Vec<Value>, Vec<Value>) = actual
        .iter()
        .cloned()
        .partition(|event| when(event) < at(middle));
    let old = exported(&store, &["--until", middle]);
    assert!(!old.is_empty() && old == before, "{old:#?}");
    let new = exported(&store, &["--since", middle]);
    assert!(!from.is_empty() && new.starts_with(&from), "{new:#?}");
    let both = exported(&store, &["--since", "2026-01-01", "--until", middle]);
    assert_eq!(both, old);
    assert_eq!(
        exported(&store, &["--until", "2026-01-01"]),
        [Value::Null; 0]
    );
    let last = old.last().unwrap()["id"].as_str().unwrap();
    let rest = exported(&store, &["--after", last]);
    assert!(rest.starts_with(&from), "{rest:#?}");
    let wrong = store.run(&["audit", "export", "--since", "yesterday"], &[]);
    assert!(!wrong.status.success(), "{wrong:#?}");
}

fn old_events_are_pruned_beside_a_server_and_that_is_audited(store: Store) {
    let server = store.start();
    some_calls(&server);
    let actual = server.events("");
    let before = actual[actual.len() * 2 / 3]["occurred_at"]
        .as_str()
        .unwrap();
    let kept: Vec<Value> = actual
        .iter()
        .filter(|event| when(event) >= at(before))
        .cloned()
        .collect();
    let count = actual.len() - kept.len();
    assert!(count > 0 && !kept.is_empty());
    // Others go on as if nothing were.
    let (output, answered) = thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let admin = server.admin();
            (0..50)
                .map(|_| admin.get("/cp/whoami").event().to_owned())
                .collect::<Vec<_>>()
        });
        let output = store.run(&["audit", "prune", "--before", before], &[]);
        (output, busy.join().unwrap())
    });
    assert_eq!(text(&output), format!("deleted {count} events\n"));

    let now = server.events("");
    assert!(now.starts_with(&kept), "{now:#?}");
    for id in &answered {
        let found = now.iter().filter(|event| event["id"] == **id).count();
        assert_eq!(found, 1, "{id}");
    }
    let record = server.events("action=audit.prune");
    assert_eq!(record.len(), 1);
    assert_eq!(record[0]["actor"]["type"], "system");
    assert_eq!(record[0]["target"]["type"], "audit_log");
    let details = &record[0]["details"];
    assert_eq!(
        (&details["before"], &details["deleted"]),
        (&json!(before), &json!(count))
    );
    for name in ["system_user", "host"] {
        assert_ne!(details[name].as_str().unwrap(), "", "{details:#}");
    }
    assert_eq!(details.as_object().unwrap().len(), 4, "{details:#}");
    let again = store.run(&["audit", "prune", "--before", before], &[]);
    assert_eq!(text(&again), "deleted 0 events\n");
    for wrong in ["2999-01-01", "soon"] {
        let output = store.run(&["audit", "prune", "--before", wrong], &[]);
        assert!(!output.status.success(), "{output:#?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("--before"), "{log}");
    }
}

fn relaxed_responses_are_audited_soon_and_at_shutdown(store: Store) {
    let relaxed = [("MOLECULE_CP_AUDIT", "relaxed")];
    let server = store.start_with(&relaxed);
    let key = server.key(&["orgs:list"]);
    let seen = |server: &Server, ids: &[String]| {
        let events = server.events(&format!("key_id={}", key.id()));
        ids.iter()
            .all(|id| events.iter().filter(|event| event["id"] == **id).count() == 1)
    };
    let calls = || -> Vec<String> {
        (0..50)
            .map(|_| key.get("/cp/orgs").event().to_owned())
            .collect()
    };
    let ids = calls();
    within(Duration::from_secs(5), "the events are recorded", || {
        seen(&server, &ids).then_some(())
    });
    // A change is as durable as ever, and so is a refusal.
    let refused = key.get("/cp/orgs/nonsense").event().to_owned();
    assert!(seen(&server, &[refused]));
    let metrics = server.anon().get("/metrics").body;
    assert!(
        metrics.contains("molecule_audit_events_lost_total 0"),
        "{metrics}"
    );
    // The very last ones too.
    let last = calls();
    let (status, log) = server.terminate(Duration::from_secs(10));
    assert!(status.success(), "{log}");
    let server = store.start();
    assert!(seen(&server, &ids) && seen(&server, &last));
}
