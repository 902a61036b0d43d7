//! Credentials that are missing, malformed or misplaced, and who may go where.

use crate::kit::{ADMIN_KEY, Response, Store, tokens};

on_both_engines![
    without_a_credential_there_is_a_plain_challenge,
    an_unknown_token_is_invalid,
    a_token_of_wrong_form_is_invalid,
    a_token_is_taken_from_one_header_only,
    an_unknown_path_is_first_of_all_the_question_who_asks,
    a_call_that_fits_no_route_is_recorded_as_that,
];

const PLAIN: &str = r#"Bearer realm="cp""#;

#[track_caller]
fn is_invalid_key(response: &Response) {
    response.problem(401, "invalid-key");
    is_invalid_token(response);
}

#[track_caller]
fn is_invalid_token(response: &Response) {
    let challenge = response.header("www-authenticate");
    let start = format!(r#"{PLAIN}, error="invalid_token", error_description=""#);
    assert!(
        challenge.starts_with(&start) && challenge.ends_with('"'),
        "{response:#?}"
    );
}

#[track_caller]
fn is_missing(response: &Response) {
    response.problem(401, "missing-credentials");
    assert_eq!(response.header("www-authenticate"), PLAIN);
    assert_eq!(response.header_if_any("audit-event-id"), None);
}

fn without_a_credential_there_is_a_plain_challenge(store: Store) {
    let server = store.start();
    for (method, path) in [
        ("GET", "/cp/whoami"),
        ("GET", "/cp/orgs"),
        ("POST", "/cp/orgs"),
        ("DELETE", "/cp/orgs/org_01HXKM4000000000000000000A"),
        ("POST", "/cp/admin/partner-keys"),
        ("GET", "/cp/admin/audit-events"),
        ("PUT", "/cp/orgs"),
    ] {
        is_missing(&server.anon().send(method, path, &[], b""));
    }
    for value in ["Basic b3A6c2VjcmV0", "Bearer", "Bearer "] {
        let headers = [("authorization", value)];
        is_missing(&server.anon().send("GET", "/cp/whoami", &headers, b""));
    }
    // The scheme's name is not case-sensitive (RFC 9110, section 11.1).
    let headers = [("authorization", &*format!("bearer {ADMIN_KEY}"))];
    server
        .anon()
        .send("GET", "/cp/whoami", &headers, b"")
        .expect(200);
}

fn an_unknown_token_is_invalid(store: Store) {
    let server = store.start();
    for token in [
        tokens::well_formed("mol_pk_"),
        tokens::well_formed("mol_ak_"),
        format!("{ADMIN_KEY}x"),
        "nonsense".to_owned(),
    ] {
        let response = server.with_token(&token).get("/cp/whoami");
        is_invalid_key(&response);
        assert_eq!(response.header_if_any("audit-event-id"), None);
    }
}

fn a_token_of_wrong_form_is_invalid(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let good = key.token();
    assert!(tokens::is_well_formed(good, "mol_pk_"), "{good}");
    for token in [
        tokens::mistyped(good),
        good[..good.len() - 1].to_owned(),
        good[..20].to_owned(),
        format!("{good}0"),
        good.replacen("mol_pk_", "mol_ak_", 1),
        good.replacen("mol_pk_", "MOL_PK_", 1),
        "mol_pk_".to_owned(),
    ] {
        is_invalid_key(&server.with_token(&token).get("/cp/whoami"));
    }
    let response = server.raw(format!(
        "GET /cp/whoami HTTP/1.1\r\nHost: cp\r\nConnection: close\r\nAuthorization: Bearer mol_pk_{}\r\n\r\n",
        "é".repeat(25)
    ));
    assert!(
        response.starts_with("HTTP/1.1 400") || response.starts_with("HTTP/1.1 401"),
        "{response}"
    );
    assert!(response.contains("application/problem+json"), "{response}");
    key.get("/cp/whoami").expect(200);
}

fn a_token_is_taken_from_one_header_only(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    let twice = [("authorization", &*format!("Bearer {}", key.token()))];
    let queries = [
        format!("/cp/orgs?access_token={}", key.token()),
        format!("/cp/orgs?access_token={ADMIN_KEY}"),
        format!("/cp/orgs?key={}", key.token()),
    ];
    let mut responses = vec![key.send("GET", "/cp/orgs", &twice, b"")];
    responses.extend(queries.iter().map(|path| key.get(path)));
    responses.extend(queries.iter().map(|path| server.anon().get(path)));
    for response in responses {
        response.problem(400, "invalid-request");
        let challenge = response.header("www-authenticate");
        assert!(
            challenge.starts_with(&format!(r#"{PLAIN}, error="invalid_request""#)),
            "{response:#?}"
        );
    }
}

fn an_unknown_path_is_first_of_all_the_question_who_asks(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    for path in [
        "/cp",
        "/cp/",
        "/cp/nothing",
        "/cp/orgs/",
        "/cp/orgs/x/y/z",
        "/cp/admin",
        "/cp/webhook-endpoints/",
        "/cp/orgs/org_01HXKM4000000000000000000A/renew/x",
    ] {
        is_missing(&server.anon().get(path));
        is_invalid_key(&server.with_token("nonsense").get(path));
        let response = key.get(path);
        response.problem(404, "not-found");
        response.event();
        server.admin().get(path).problem(404, "not-found");
    }
    for path in ["/", "/nothing", "/cpx", "/favicon.ico"] {
        server.anon().get(path).problem(404, "not-found");
        let response = key.get(path);
        response.problem(404, "not-found");
        assert_eq!(response.header_if_any("audit-event-id"), None);
    }
}

/// The path itself is the client's to choose and stays out of the log.
fn a_call_that_fits_no_route_is_recorded_as_that(store: Store) {
    let server = store.start();
    let key = server.key(&["orgs:list"]);
    for path in ["/cp", "/cp/nothing", "/cp/orgs/x/y/z"] {
        let response = key.get(path);
        response.problem(404, "not-found");
        let events = server.events(&format!("key_id={}", key.id()));
        let event = events.last().unwrap();
        assert_eq!(event["id"], response.event());
        assert_eq!(event["route"], "unrouted", "{path}");
        assert_eq!(event["action"], "request.unrouted");
    }
}
