//! What holds of every cursor, query and body, whatever a client sends.

use ids::{Labels, Name, Ulid};
use molecule_api::{
    Cursor, ListParams, NewOrg, NewPartner, NewPartnerKey, OrgFilters, Parameters,
    PartnerKeyChanges, Request as _,
};
use proptest::{prelude::*, sample::select};
use serde_json::json;
use time::OffsetDateTime;

/// The name of a parameter: one that is known, or any.
fn parameter() -> impl Strategy<Value = String> {
    let known = ["limit", "cursor", "status", "slug", "label", "external_id"];
    prop_oneof![
        select(known.to_vec()).prop_map(str::to_owned),
        any::<String>(),
    ]
}

/// The value of a parameter: one that may be right, or any.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,4}",
        "ready|deleted",
        "[a-z]{1,3}:[a-z]{0,3}",
        any::<String>(),
    ]
}

/// Bodies that are nearly right: known members with values of all kinds.
fn body() -> impl Strategy<Value = String> {
    let members = [
        "name",
        "slug",
        "plan",
        "labels",
        "scopes",
        "rate_limit",
        "expires_in_days",
        "expires_at",
        "allowed_cidrs",
        "org_plans",
        "max_orgs",
        "max_live_orgs",
        "on_revoke",
        "ttl_seconds",
        "disabled",
    ];
    let value = prop_oneof![
        any::<String>().prop_map(|text| json!(text)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(|truth| json!(truth)),
        Just(json!(null)),
        prop::collection::vec(any::<String>(), 0..3).prop_map(|texts| json!(texts)),
        prop::collection::btree_map(any::<String>(), any::<u64>(), 0..3).prop_map(|o| json!(o)),
        any::<(i64, i64)>().prop_map(|(a, b)| json!({"limit": a, "window_seconds": b})),
    ];
    prop::collection::btree_map(select(members.to_vec()), value, 0..6)
        .prop_map(|object| json!(object).to_string())
}

fn read_as_everything(body: &[u8]) {
    let now = OffsetDateTime::UNIX_EPOCH;
    let _ = NewOrg::from_body(body, &());
    let _ = NewPartner::from_body(body, &());
    let _ = NewPartnerKey::from_body(body, &now);
    let _ = PartnerKeyChanges::from_body(body, &now);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cursor_is_answered(text in any::<String>(), binding in any::<String>()) {
        prop_assert!(Cursor::decode(&text, &binding).is_err());
    }

    #[test]
    fn an_invented_cursor_is_refused(text in "AQ[A-Za-z0-9_-]{32}") {
        prop_assert!(Cursor::decode(&text, "orgs;").is_err());
    }

    #[test]
    fn a_cursor_is_read_in_its_own_list_alone(
        id in any::<u128>(),
        binding in any::<String>(),
        other in any::<String>(),
    ) {
        prop_assume!(binding != other);
        let cursor = Cursor { after: Ulid(id) };
        let text = cursor.encode(&binding);
        prop_assert_eq!(Cursor::decode(&text, &binding), Ok(cursor));
        prop_assert!(Cursor::decode(&text, &other).is_err());
    }

    #[test]
    fn any_query_is_answered(pairs in prop::collection::vec((parameter(), value()), 0..6)) {
        let _ = ListParams::read::<OrgFilters>(Parameters::new(pairs), true, "orgs");
    }

    #[test]
    fn an_unknown_parameter_is_refused(name in "x[a-z]{0,9}", value in any::<String>()) {
        let query = Parameters::new([(name, value)]);
        prop_assert!(ListParams::read::<OrgFilters>(query, true, "orgs").is_err());
    }

    #[test]
    fn any_body_is_answered(bytes in any::<Vec<u8>>(), near in body()) {
        read_as_everything(&bytes);
        read_as_everything(near.as_bytes());
    }

    #[test]
    fn a_name_has_its_bounds(text in any::<String>(), length in 0_usize..300) {
        let fits = |text: &str| {
            (1..=200).contains(&text.chars().count()) && !text.contains(char::is_control)
        };
        let long = "é".repeat(length);
        prop_assert_eq!(Name::new(text.as_str()).is_ok(), fits(&text));
        prop_assert_eq!(Name::new(long.as_str()).is_ok(), fits(&long));
    }

    #[test]
    fn labels_have_their_bounds(
        key in prop_oneof!["[a-z0-9_.-]{0,66}", any::<String>()],
        value in any::<String>(),
        length in 0_usize..300,
        count in 0_usize..20,
    ) {
        let first = |c: char| matches!(c, 'a'..='z' | '0'..='9');
        let key_fits = key.len() <= 63
            && key.starts_with(first)
            && key.chars().all(|c| first(c) || matches!(c, '_' | '.' | '-'));
        let value_fits = value.chars().count() <= 255 && !value.contains(char::is_control);
        let one = Labels::new([(key, value)]);
        prop_assert_eq!(one.is_ok(), key_fits && value_fits);
        let long = Labels::new([("k".to_owned(), "é".repeat(length))]);
        prop_assert_eq!(long.is_ok(), length <= 255);
        let many = Labels::new((0..count).map(|n| (format!("k{n}"), String::new())));
        prop_assert_eq!(many.is_ok(), count <= 16);
    }
}
