//! Forms and tokens that are none.

use serde_json::{Value, json};
use testkit::issuer::{Issuer, TestKey};

use super::{
    AUDIENCE, GRANT, JWT, ON_THIS_MACHINE, exchange, form, job, refused, rule, send, token,
};
use crate::kit::{Store, tokens};

on_both_engines![
    a_token_that_is_no_token_is_refused,
    a_form_that_is_none_is_refused,
];

fn a_token_that_is_no_token_is_refused(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let claims = Value::Object(issuer.claims(AUDIENCE, &job())).to_string();
    let sign = |header: &str, claims: &str| TestKey::Rsa1.sign(header, claims);
    let rs256 = r#"{"alg": "RS256", "kid": "rsa-1"}"#;
    let good = sign(rs256, &claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let twice = claims.replacen('{', r#"{"repository_id": "1", "#, 1);
    let other = good.split('.').nth(1).unwrap();
    for (token, part) in [
        (sign(r#"{"alg": "none", "kid": "rsa-1"}"#, &claims), "alg"),
        (sign(r#"{"alg": "HS256", "kid": "rsa-1"}"#, &claims), "alg"),
        (format!("{message}."), "JWT"),
        (message.to_owned(), "JWT"),
        ("nonsense".to_owned(), "JWT"),
        (format!("{message}.{}", &signature[2..]), "signature"),
        (sign(rs256, &twice), "twice"),
        (
            sign(
                r#"{"alg": "RS256", "alg": "RS256", "kid": "rsa-1"}"#,
                &claims,
            ),
            "twice",
        ),
        // Signed with a key of somebody else's under the name of the issuer's.
        (TestKey::Rsa2.sign(rs256, &claims), "signature"),
        (
            sign(r#"{"alg": "RS256", "kid": "p256-1"}"#, &claims),
            "no key",
        ),
        (
            sign(r#"{"alg": "ES256", "kid": "rsa-1"}"#, &claims),
            "no key",
        ),
        (
            sign(r#"{"alg": "RS256", "kid": "nobody's"}"#, &claims),
            "no key",
        ),
        (
            sign(
                r#"{"alg": "RS256", "kid": "rsa-1", "crit": ["b64"]}"#,
                &claims,
            ),
            "crit",
        ),
        (good.replace(other, "bm9wZQ"), "JSON"),
    ] {
        let why = refused(
            &exchange(&server.anon(), &rule, &token),
            400,
            "invalid_grant",
        );
        assert!(why.contains(part), "{part}: {why}");
    }
    let long = token(&issuer, json!({"x": "y".repeat(20_000)}));
    let why = refused(
        &exchange(&server.anon(), &rule, &long),
        400,
        "invalid_request",
    );
    assert!(why.contains("16 KiB"), "{why}");
    // None of these has used it up.
    exchange(&server.anon(), &rule, &good).expect(200);
    let events = server.events("action=token.exchange&outcome=denied");
    assert_eq!(events.len(), 15);
}

fn a_form_that_is_none_is_refused(store: Store) {
    let server = store.start_with(ON_THIS_MACHINE);
    let issuer = Issuer::start();
    let rule = rule(&server, &issuer, json!({}));
    let token = token(&issuer, json!({}));
    let id = rule["id"].as_str().unwrap();
    let good = [
        ("grant_type", GRANT),
        ("subject_token", &*token),
        ("subject_token_type", JWT),
        ("trust_rule", id),
    ];
    let with = |name: &str, value: &str| {
        let mut parameters = good.to_vec();
        for parameter in &mut parameters {
            if parameter.0 == name {
                parameter.1 = value.to_owned().leak();
            }
        }
        form(&parameters)
    };
    let anon = server.anon();
    let whole = form(&good);
    for broken in [
        String::new(),
        form(&good[1..]),
        form(&good[..3]),
        format!("{whole}&audience=x"),
        format!("{whole}&trust_rule={id}"),
        format!("{whole}&requested_token_type=x"),
        with("subject_token", ""),
        with(
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:saml2",
        ),
        "x".repeat(70_000),
        "a=1&".repeat(100),
    ] {
        refused(&send(&anon, &broken), 400, "invalid_request");
    }
    refused(
        &send(&anon, &with("grant_type", "client_credentials")),
        400,
        "unsupported_grant_type",
    );
    for none in ["+", "+++"] {
        let asked = format!("{whole}&scope={none}");
        refused(&send(&anon, &asked), 400, "invalid_scope");
    }
    for unknown in [
        "tru_01HXKM4000000000000000000A",
        "x",
        "pak_01HXKM4000000000000000000A",
    ] {
        refused(
            &send(&anon, &with("trust_rule", unknown)),
            400,
            "invalid_grant",
        );
    }
    // The token is the proof: nothing else may come with it.
    let wrong_credential = server.with_token(&tokens::well_formed("mol_pk_"));
    for caller in [server.admin(), wrong_credential] {
        refused(&send(&caller, &whole), 400, "invalid_request");
    }
    let json = [("content-type", "application/json")];
    refused(
        &anon.send("POST", "/cp/token", &json, b"{}"),
        400,
        "invalid_request",
    );
    refused(
        &anon.send("POST", "/cp/token", &[], whole.as_bytes()),
        400,
        "invalid_request",
    );
    let form_type = [(
        "content-type",
        "application/x-www-form-urlencoded; charset=UTF-8",
    )];
    let in_query = format!("/cp/token?{whole}");
    refused(
        &anon.send("POST", &in_query, &form_type, b""),
        400,
        "invalid_request",
    );
    let get = anon.get("/cp/token");
    get.problem(405, "method-not-allowed");
    assert_eq!(get.header("allow"), "POST");
    anon.send("POST", "/cp/token", &form_type, whole.as_bytes())
        .expect(200);
}
