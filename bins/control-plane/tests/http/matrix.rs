//! Every operation of the OpenAPI document against every kind of caller.

mod people;
mod schemas;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use self::{
    people::{CELLS, Cell, People},
    schemas::Schemas,
    table::{Of, Row, TABLE, Who},
};
use crate::kit::{Response, Store};

on_both_engines![
    the_table_and_the_document_name_the_same_operations,
    every_operation_answers_every_caller_as_it_must,
];

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The operations of a document: method, path and description by `operationId`.
fn operations(document: &Value) -> BTreeMap<String, (String, String, Value)> {
    let mut found = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if METHODS.contains(&method.as_str()) {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                let actual = (method.to_uppercase(), path.clone(), operation.clone());
                assert!(found.insert(id, actual).is_none(), "{method} {path}");
            }
        }
    }
    found
}

fn the_table_and_the_document_name_the_same_operations(store: Store) {
    let server = store.start();
    let document = server.anon().get("/cp/openapi.json").expect(200);
    let operations = operations(&document);
    let actual: BTreeSet<&str> = operations.keys().map(String::as_str).collect();
    let known: BTreeSet<&str> = TABLE.iter().map(|row| row.id).collect();
    assert_eq!(known.len(), TABLE.len());
    assert_eq!(actual, known);
    for row in TABLE {
        let (method, path, actual) = &operations[row.id];
        let place = format!("{} {method} {path}", row.id);
        assert_eq!(path.contains('{'), row.of != Of::Nothing, "{place}");
        let (credential, scopes): (_, &[&str]) = match row.who {
            Who::Admin => (json!("admin"), &[]),
            Who::Any => (json!("any"), &[]),
            Who::Scopes(scopes) => (json!("partner_key"), scopes),
            Who::Open(_) => (Value::Null, &[]),
        };
        assert_eq!(actual["x-credential"], credential, "{place}");
        assert_eq!(actual["x-required-scopes"], json!(scopes), "{place}");
        let action = Some(row.action).filter(|action| !action.is_empty());
        assert_eq!(actual["x-audit-action"], json!(action), "{place}");
        let parameters = actual["parameters"].as_array().cloned().unwrap_or_default();
        let once = parameters.iter().any(|it| it["name"] == "Idempotency-Key");
        let is_open = matches!(row.who, Who::Open(_));
        assert_eq!(once, method == "POST" && !is_open, "{place}");
    }
}

/// The status and, of a refusal, the code.
fn expectation(row: &Row, (method, path): (&str, &str), cell: Cell) -> (u16, &'static str) {
    const FINE: &str = "";
    if let Who::Open(_) = row.who {
        // What the operator has not switched on is not there.
        let code = if row.success == 404 {
            "not-found"
        } else {
            FINE
        };
        return (row.success, code);
    }
    let admits = match row.who {
        Who::Admin => cell.is_admin(),
        Who::Scopes(_) => !cell.is_admin(),
        Who::Any | Who::Open(_) => true,
    };
    let revokes = row.id == "revokePartnerKey";
    match cell {
        Cell::NoCredential => (401, "missing-credentials"),
        Cell::Garbage | Cell::WrongChecksum | Cell::Unknown => (401, "invalid-key"),
        Cell::Revoked => (401, "key-revoked"),
        Cell::Expired => (401, "key-expired"),
        Cell::Disabled => (401, "key-disabled"),
        Cell::AddressNotAllowed | Cell::AdminAway => (403, "ip-not-allowed"),
        Cell::Auditor if row.id == "whoami" => (200, FINE),
        Cell::Auditor if method == "GET" && path.starts_with("/cp/admin/") => (200, FINE),
        Cell::Auditor => (403, "not-permitted"),
        // A key that is good for nothing else can still be put out of the way.
        Cell::PlanLost if revokes => (204, FINE),
        Cell::PlanLost => (403, "partner-plan-required"),
        _ if !admits => (403, "not-permitted"),
        Cell::WrongScope if matches!(row.who, Who::Scopes(_)) => (403, "insufficient-scope"),
        // A key that is bound to an org can't have the scope.
        Cell::BoundElsewhere if row.who == Who::Scopes(&["webhooks:manage"]) => {
            (403, "insufficient-scope")
        }
        Cell::Foreign | Cell::Missing | Cell::AdminMissing => (404, "not-found"),
        Cell::BoundElsewhere if row.of != Of::Nothing => (404, "not-found"),
        Cell::BoundElsewhere if row.id == "createOrg" => (403, "not-permitted"),
        _ if row.success == 409 && row.of == Of::Key => (409, "key-state-conflict"),
        _ if row.success == 409 => (409, "org-state-conflict"),
        Cell::WrongScope | Cell::BoundElsewhere | Cell::Admin | Cell::Right => (row.success, FINE),
    }
}

#[track_caller]
fn check_challenge(row: &Row, response: &Response, code: &str) {
    let challenge = response.header_if_any("www-authenticate");
    let actual = challenge.unwrap_or_default();
    let begins = |start: &str| assert!(actual.starts_with(start), "{response:#?}");
    match (code, row.who) {
        ("missing-credentials", _) => assert_eq!(actual, r#"Bearer realm="cp""#, "{response:#?}"),
        ("insufficient-scope", Who::Scopes(scopes)) => {
            let start = r#"Bearer realm="cp", error="insufficient_scope", scope=""#;
            begins(start);
            let named = actual[start.len()..].trim_end_matches('"').split(' ');
            let named: BTreeSet<_> = named.collect();
            assert!(named.iter().all(|it| scopes.contains(it)), "{response:#?}");
        }
        _ if response.status == 401 => {
            begins(r#"Bearer realm="cp", error="invalid_token", error_description=""#);
            assert!(actual.ends_with('"'), "{response:#?}");
        }
        _ => assert_eq!(challenge, None, "{response:#?}"),
    }
}

#[track_caller]
fn check_answer(row: &Row, response: &Response, (status, code): (u16, &'static str)) {
    assert_eq!(response.status, status, "{response:#?}");
    check_challenge(row, response, code);
    if !code.is_empty() {
        response.problem(status, code);
        return;
    }
    match row.who {
        Who::Open(content) => {
            let actual = response.header_if_any("content-type").unwrap_or_default();
            assert!(actual.starts_with(content), "{response:#?}");
            assert_eq!(
                content.is_empty(),
                response.body.is_empty(),
                "{response:#?}"
            );
            assert_eq!(
                response.header_if_any("audit-event-id"),
                None,
                "{response:#?}"
            );
        }
        _ if status == 204 => assert_eq!(response.body, "", "{response:#?}"),
        Who::Admin | Who::Scopes(_) | Who::Any => drop(response.expect(status)),
    }
}

/// What must be recorded of a call.
struct Recorded {
    request: String,
    method: String,
    path: String,
    action: &'static str,
    actor: Option<String>,
    response: Response,
}

fn every_operation_answers_every_caller_as_it_must(store: Store) {
    let server = store.start();
    let document = server.anon().get("/cp/openapi.json").expect(200);
    let operations = operations(&document);
    let schemas = Schemas::new(&document);
    let people = People::gather(&store, &server);
    let mut recorded = Vec::new();
    for row in TABLE {
        let (method, path, _) = &operations[row.id];
        let mut not_found = BTreeMap::new();
        for &cell in CELLS.iter().filter(|cell| cell.fits(row.of)) {
            let (caller, actor) = people.caller(row, cell);
            let subject = people.subject(row, cell, &caller);
            let concrete = path
                .replace("{id}", &subject)
                .replace("{code}", &subject)
                .replace("{delivery}", people.delivery());
            let concrete = format!("{concrete}{}", row.query);
            let request = format!("{}-{cell:?}", row.id);
            let body = (row.body)();
            let body = if body.is_null() {
                String::new()
            } else {
                body.to_string()
            };
            let headers = [("x-request-id", request.as_str())];
            let mut response = caller.send(method, &concrete, &headers, body.as_bytes());
            response.asked = format!("{} by {cell:?}: {}", row.id, response.asked);
            check_answer(row, &response, expectation(row, (method, path), cell));
            if [200, 201, 202].contains(&response.status) && !matches!(row.who, Who::Open(_)) {
                schemas.check(path, method, &response);
            }
            if response.status == 404 {
                let mut problem = response.json();
                problem.as_object_mut().unwrap().remove("request_id");
                not_found.insert(cell, problem.to_string());
            }
            let open = matches!(row.who, Who::Open(_));
            recorded.push(Recorded {
                request,
                method: method.clone(),
                path: path.clone(),
                action: row.action,
                actor: actor.filter(|_| !open),
                response,
            });
        }
        let kinds: BTreeSet<_> = not_found.values().collect();
        assert!(kinds.len() <= 1, "{}: {not_found:#?}", row.id);
    }
    check_record(&server.events(""), &recorded);
}

fn check_record(events: &[Value], recorded: &[Recorded]) {
    let mut of_request: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for event in events {
        let request = event["request_id"].as_str().unwrap_or_default();
        of_request.entry(request).or_default().push(event);
    }
    for call in recorded {
        let Recorded {
            response, actor, ..
        } = call;
        let found = of_request.remove(call.request.as_str()).unwrap_or_default();
        let Some(actor) = actor else {
            assert!(found.is_empty(), "{response:#?} {found:#?}");
            assert_eq!(
                response.header_if_any("audit-event-id"),
                None,
                "{response:#?}"
            );
            continue;
        };
        assert_eq!(found.len(), 1, "{response:#?} {found:#?}");
        let event = found[0];
        assert_eq!(event["id"], response.event(), "{response:#?}");
        assert_eq!(event["action"], call.action, "{response:#?} {event:#}");
        assert_eq!(
            event["status_code"], response.status,
            "{response:#?} {event:#}"
        );
        assert_eq!(
            event["actor"]["id"],
            actor.as_str(),
            "{response:#?} {event:#}"
        );
        let kind = if actor.starts_with("adm_") {
            "admin"
        } else {
            "partner_key"
        };
        assert_eq!(event["actor"]["type"], kind, "{response:#?} {event:#}");
        assert_eq!(event["method"], call.method.as_str(), "{event:#}");
        assert_eq!(event["route"], call.path.as_str(), "{event:#}");
        let outcome = if response.status < 400 {
            "success"
        } else {
            "denied"
        };
        assert_eq!(event["outcome"], outcome, "{response:#?} {event:#}");
    }
}
