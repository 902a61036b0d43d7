//! What is being changed of an org, as it stands in its row.

use orgs::{ChangeKind, OrgConfig, OrgOptions, PendingChange, Verb};
use serde_json::{Map, Value, json};
use stores::StoreError;

use crate::tables::values;

const WHAT: &str = "the change of an org";

/// Options from a JSON object.
pub(super) fn options(text: &str) -> Result<OrgOptions, StoreError> {
    let object =
        serde_json::from_str(text).map_err(|_| values::corrupt("the options of an org"))?;
    valid(object)
}

fn valid(object: Map<String, Value>) -> Result<OrgOptions, StoreError> {
    OrgOptions::new(object).map_err(|_| values::corrupt("the options of an org"))
}

/// A change as a JSON array: its verb and its time, then for an update the plan and the options.
pub(super) fn text(change: &PendingChange) -> String {
    let (verb, at) = (
        change.kind.verb().as_str(),
        values::micros(change.requested_at),
    );
    match &change.kind {
        ChangeKind::Update(OrgConfig { plan, options }) => {
            json!([verb, at, plan.as_str(), options.as_map()])
        }
        ChangeKind::Rotate => json!([verb, at]),
    }
    .to_string()
}

/// A change from a JSON array.
pub(super) fn parse(text: &str) -> Result<PendingChange, StoreError> {
    let items: Vec<Value> = serde_json::from_str(text).map_err(|_| values::corrupt(WHAT))?;
    let (at, kind) = match items.as_slice() {
        [verb, at, Value::String(plan), Value::Object(options)] if is(verb, Verb::Update) => {
            let config = OrgConfig {
                plan: values::plan(plan.clone(), WHAT)?,
                options: valid(options.clone())?,
            };
            (at, ChangeKind::Update(config))
        }
        [verb, at] if is(verb, Verb::Rotate) => (at, ChangeKind::Rotate),
        _ => return Err(values::corrupt(WHAT)),
    };
    Ok(PendingChange {
        requested_at: values::time(at.as_i64().ok_or(values::corrupt(WHAT))?, WHAT)?,
        kind,
    })
}

fn is(text: &Value, verb: Verb) -> bool {
    text.as_str() == Some(verb.as_str())
}

#[cfg(test)]
mod tests {
    use ids::PlanName;
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn a_change_comes_back_as_it_was() {
        let object = json!({"size": 3, "quote": "\"\\\u{0}"})
            .as_object()
            .cloned();
        let update = OrgConfig {
            plan: PlanName::new("standard").unwrap(),
            options: OrgOptions::new(object.unwrap()).unwrap(),
        };
        for kind in [ChangeKind::Update(update), ChangeKind::Rotate] {
            let change = PendingChange {
                requested_at: OffsetDateTime::UNIX_EPOCH,
                kind,
            };
            assert_eq!(parse(&text(&change)).unwrap(), change);
        }
    }

    #[test]
    fn what_is_no_change_is_corrupt() {
        for text in [
            "",
            "{}",
            "[]",
            r#"["dance",1]"#,
            r#"["update",1]"#,
            r#"["rotate","1"]"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
