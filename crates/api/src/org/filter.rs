//! The filters of a list of orgs.

use api_macros::Query;
use ids::{KeyId, Labels, MAX_LABELS, Name, PartnerId, PlanName};
use orgs::{OrgCriteria, OrgListRequest, OrgStatus, Slug};

use crate::{
    Time,
    query::{Parameters, QueryError, QueryField},
    wire::{AnySchema, ClientType, label_parameter, list},
};

/// Which orgs to list.
#[derive(Query)]
pub struct OrgFilters {
    /// Only orgs with this status. Without it, deleted orgs are left out.
    status: Option<OrgStatus>,
    /// Only the org with this slug.
    slug: Option<Slug>,
    /// Only orgs with this `external_id`.
    external_id: Option<Name>,
    /// Only orgs of this plan.
    plan: Option<PlanName>,
    /// Only orgs created with this key.
    created_by_key_id: Option<KeyId>,
    /// Only orgs created at this time or later.
    created_since: Option<Time>,
    /// Only orgs created before this time.
    created_until: Option<Time>,
    /// Only orgs with a lease that ends before this time.
    expires_before: Option<Time>,
    /// Only orgs of this partner. For admins.
    #[api(admin)]
    partner_id: Option<PartnerId>,
    /// Only orgs with this label, as `key:value`. Repeat it to require several labels.
    label: LabelFilters,
}

impl From<OrgFilters> for OrgListRequest {
    fn from(filters: OrgFilters) -> Self {
        Self {
            partner_id: filters.partner_id,
            status: filters.status,
            slug: filters.slug,
            external_id: filters.external_id,
            labels: filters.label.0,
            criteria: OrgCriteria {
                plan: filters.plan,
                created_by: filters.created_by_key_id,
                created_since: filters.created_since.map(|time| time.0),
                created_until: filters.created_until.map(|time| time.0),
                expires_before: filters.expires_before.map(|time| time.0),
            },
        }
    }
}

/// Labels that an org must have, each a key and its value.
struct LabelFilters(Vec<(String, String)>);

impl ClientType for LabelFilters {
    type As = Vec<String>;
}

impl QueryField for LabelFilters {
    const REPEATED: bool = true;

    fn schema() -> AnySchema {
        list(label_parameter(0), None, Some(MAX_LABELS)).into()
    }

    fn read(query: &mut Parameters, name: &'static str) -> Result<Self, QueryError> {
        labels(query, name).map(Self)
    }
}

/// Reads labels, each a key and its value.
pub(super) fn labels(
    query: &mut Parameters,
    name: &'static str,
) -> Result<Vec<(String, String)>, QueryError> {
    let bad = |text: &dyn std::fmt::Display| QueryError::Bad(format!("{name}: {text}"));
    let mut texts = query.many(name);
    // Counted as they were sent: several of one key count too, though no org has them all.
    if texts.len() > MAX_LABELS {
        return Err(bad(&format_args!(
            "can be given {MAX_LABELS} times at most"
        )));
    }
    texts.sort_unstable();
    texts.dedup();
    let mut pairs = Vec::with_capacity(texts.len());
    for text in &texts {
        query.bind(name, text);
        let (key, value) = text
            .split_once(':')
            .ok_or_else(|| bad(&"must be key:value, such as run_id:123"))?;
        pairs.push((key.to_owned(), value.to_owned()));
    }
    Labels::new(pairs.iter().cloned()).map_err(|error| bad(&error))?;
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeletionQuery, Query as _};

    #[test]
    fn labels_are_asked_for_as_key_and_value() {
        let ask = |label: &str| {
            let query = Parameters::new([("label".to_owned(), label.to_owned())]);
            OrgFilters::read_all(query, true).map(|filters| filters.label.0)
        };
        assert_eq!(ask("run_id:1:2"), Ok(vec![("run_id".into(), "1:2".into())]));
        assert!(ask("run_id").is_err());
        assert!(ask("RUN:1").is_err());
    }

    #[test]
    fn labels_are_counted_as_they_were_asked_for() {
        let kinds: [fn(usize) -> String; 3] = [
            |n| format!("l{n}:1"),
            |n| format!("l:{n}"),
            |_| "l:1".to_owned(),
        ];
        for label in kinds {
            let asked = |count: usize| {
                let labels = (0..count).map(|n| ("label".to_owned(), label(n)));
                let query = || Parameters::new(labels.clone());
                let listed = OrgFilters::read_all(query(), true).is_ok();
                assert_eq!(DeletionQuery::read_all(query(), false).is_ok(), listed);
                listed
            };
            assert!(asked(16), "{}", label(0));
            assert!(!asked(17), "{}", label(0));
        }
    }
}
