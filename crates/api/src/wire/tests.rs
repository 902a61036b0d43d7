//! What the derives make of a struct, and helpers for the tests of the requests.

use api_macros::{Request, Response};
use keys::Change;
use serde_json::json;

use super::*;

/// Reads a body that is checked against nothing else.
pub(crate) fn read<T: Request<()>>(body: &str) -> Result<T, BodyError> {
    T::from_body(body.as_bytes(), &())
}

/// The pointers of all errors.
pub(crate) fn pointers<T>(read: Result<T, BodyError>) -> Vec<String> {
    match read {
        Ok(_) => Vec::new(),
        Err(BodyError::Syntax(text)) => panic!("{text}"),
        Err(BodyError::Invalid(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
    }
}

/// A thing.
#[derive(Response)]
#[api(name = "Thing")]
struct ThingView {
    /// The name of the thing.
    #[api(example = "a")]
    name: ids::Name,
    /// The size of the thing, in
    /// bytes.
    #[api(as = Option<Whole<1, 9>>)]
    size: Option<u64>,
}

/// Changes to a thing.
#[derive(Request)]
#[api(like = ThingView, exclusive(size, count))]
#[expect(dead_code, reason = "only the reading is looked at")]
struct ThingChanges {
    name: NotNull<ids::Name>,
    #[api(example = null)]
    size: Option<Whole<1, 9>>,
    /// The number of things.
    count: Option<Whole<1, 9>>,
    /// Whether it is a thing.
    real: Change<bool>,
}

#[track_caller]
fn check(body: &str, expect: &[&str]) {
    assert_eq!(pointers(read::<ThingChanges>(body)), expect, "{body}");
}

#[test]
fn errors_are_in_the_order_of_the_fields_and_unknown_ones_come_last() {
    check("{}", &[]);
    check(
        r#"{"z": 1, "a": 1, "real": 2, "count": 0, "size": 0, "name": null}"#,
        &["/name", "/size", "/count", "/real", "/a", "/z"],
    );
    check(r#"{"size": 1, "count": null}"#, &[]);
    check(
        r#"{"real": 1, "size": 1, "count": 1}"#,
        &["/count", "/real"],
    );
}

#[test]
fn a_merge_patch_knows_missing_null_and_a_value() {
    let real = |body| read::<ThingChanges>(body).map(|changes| changes.real);
    assert_eq!(real("{}"), Ok(Change::Keep));
    assert_eq!(real(r#"{"real": null}"#), Ok(Change::Clear));
    assert_eq!(real(r#"{"real": true}"#), Ok(Change::Set(true)));
}

#[test]
fn a_struct_is_its_own_description() {
    let mut components = Components::new();
    let reference = ThingView::schema(&mut components);
    assert_eq!(
        json!(reference),
        json!({"$ref": "#/components/schemas/Thing"})
    );
    let thing = json!(components)["Thing"].clone();
    assert_eq!(thing["description"], "A thing.");
    assert_eq!(thing["required"], json!(["name", "size"]));
    assert_eq!(
        thing["properties"]["size"]["description"],
        "The size of the thing, in bytes."
    );
    assert_eq!(ThingView::example(), json!({"name": "a", "size": null}));
    ThingChanges::schema(&mut components);
    let changes = json!(components)["ThingChanges"].clone();
    assert_eq!(changes["additionalProperties"], false);
    assert_eq!(
        changes["properties"]["name"]["description"],
        "The name of the thing."
    );
    assert_eq!(changes["properties"]["name"]["type"], "string");
    assert_eq!(
        changes["properties"]["real"]["type"],
        json!(["boolean", "null"])
    );
    assert_eq!(changes["not"]["required"], json!(["size", "count"]));
    assert_eq!(
        changes["not"]["properties"]["size"],
        json!({"type": "integer"})
    );
    assert_eq!(ThingChanges::example(), json!({"size": null}));
}
