//! A prefix of the operator's own.

use serde_json::json;

use crate::kit::{ADMIN_KEY, Store, tokens};

on_both_engines![
    keys_have_the_operators_prefix_and_earlier_ones_go_on_while_it_is_listed,
    a_key_in_a_url_is_known_by_its_prefix,
    prefixes_that_can_not_be_told_apart_are_refused,
    scanners_get_rules_for_every_prefix,
];

const OWN: &[(&str, &str)] = &[("MOLECULE_CP_KEY_PREFIX", "acme_pk_")];
const BOTH: &[(&str, &str)] = &[
    ("MOLECULE_CP_KEY_PREFIX", "acme_pk_"),
    ("MOLECULE_CP_RETIRED_KEY_PREFIXES", "mol_pk_, older_pk_"),
];

fn keys_have_the_operators_prefix_and_earlier_ones_go_on_while_it_is_listed(store: Store) {
    let earlier = store.start().key(&["orgs:list"]);
    let server = store.start_with(BOTH);
    let earlier = server.with_token(earlier.token());
    earlier.get("/cp/whoami").expect(200);
    let key = server.key(&["orgs:list"]);
    assert!(
        tokens::is_well_formed(key.token(), "acme_pk_"),
        "{}",
        key.token()
    );
    assert_eq!(key.resource()["key_prefix"], key.token()[..12]);
    key.get("/cp/whoami").expect(200);
    // Form and checksum are looked at before anything else.
    for token in [
        tokens::mistyped(key.token()),
        "acme_pk_short".to_owned(),
        "older_pk_x".to_owned(),
    ] {
        let refused = server.with_token(&token).get("/cp/whoami");
        let problem = refused.problem(401, "invalid-key");
        assert!(
            problem["detail"].as_str().unwrap().contains("checksum"),
            "{problem}"
        );
    }
    // An admin key has the prefix that all have.
    server.admin().get("/cp/whoami").expect(200);
    let report = json!({"tokens": [key.token()]});
    assert_eq!(server.anon().post("/cp/leaks", report).status, 202);
    crate::leaks::is_revoked(&server, &key);
    drop(server);
    let server = store.start_with(OWN);
    server
        .with_token(earlier.token())
        .get("/cp/whoami")
        .problem(401, "invalid-key");
    server.key(&["orgs:list"]).get("/cp/whoami").expect(200);
}

fn a_key_in_a_url_is_known_by_its_prefix(store: Store) {
    let server = store.start_with(OWN);
    for value in ["acme_pk_x", "mol_pk_x", "mol_ak_x"] {
        let path = format!("/cp/whoami?cursor={value}");
        server.anon().get(&path).problem(400, "invalid-request");
    }
}

fn prefixes_that_can_not_be_told_apart_are_refused(store: Store) {
    for (prefix, retired, admin, says) in [
        ("acme", "", ADMIN_KEY, "key_prefix"),
        ("ACME_pk_", "", ADMIN_KEY, "key_prefix"),
        ("acme_ak_", "", ADMIN_KEY, "key_prefix"),
        ("toolongaprefix_pk_", "", ADMIN_KEY, "key_prefix"),
        ("acme_pk_", "acme_pk_", ADMIN_KEY, "named twice"),
        ("acme_pk_", "old_pk_,old_pk_", ADMIN_KEY, "named twice"),
        ("acme_pk_", "old", ADMIN_KEY, "retired_key_prefixes"),
        (
            "acme_pk_",
            "",
            "acme_pk_operators-own-admin-key-of-tests",
            "admin_key",
        ),
        (
            "acme_pk_",
            "old_pk_",
            "old_pk_operators-own-admin-key-of-tests",
            "admin_key",
        ),
    ] {
        let settings = [
            ("MOLECULE_CP_KEY_PREFIX", prefix),
            ("MOLECULE_CP_RETIRED_KEY_PREFIXES", retired),
            ("MOLECULE_CP_ADMIN_KEY", admin),
        ];
        let output = store.run(&["config"], &settings);
        assert!(!output.status.success(), "{settings:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(says), "{settings:?} {text}");
    }
}

fn scanners_get_rules_for_every_prefix(store: Store) {
    for format in ["gitleaks", "trufflehog", "github"] {
        let output = store.run(&["scanner-rules", "--format", format], BOTH);
        let text = crate::program::succeeded(&output);
        let pattern = "(?:acme_pk_|mol_pk_|older_pk_)[0-9A-Za-z]{50}";
        assert!(text.contains(pattern) && text.contains("mol_ak_"), "{text}");
    }
    let output = store.run(&["scanner-rules", "--format", "grep"], &[]);
    assert!(!output.status.success());
}
