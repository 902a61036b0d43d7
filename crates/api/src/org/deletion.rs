//! The deletion of orgs by label.

use api_macros::{Query, Response};
use ids::{MAX_LABELS, OrgId};
use orgs::{Org, OrgStatus, OrgsDeletion, Slug};
use serde::Serialize;
use serde_json::{Value, json};

use super::filter::labels;
use crate::{
    query::{Parameters, QueryError, QueryField},
    wire::{AnySchema, AtMost, ClientType, label_parameter, list},
};

/// An org that is deleted by label.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "DeletedOrg")]
pub struct DeletedOrgView {
    /// The id of the org.
    id: OrgId,
    /// The part of the URL that names the org: 3 to 32 lower-case letters, digits and single hyphens.
    #[api(as = Slug)]
    slug: String,
    /// The status of the org: in a dry run before the deletion, otherwise after it.
    #[api(as = OrgStatus, example = "deprovisioning")]
    status: &'static str,
}

/// All orgs that are deleted by label.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "DeletedOrgs")]
pub struct DeletedOrgsView {
    /// The orgs, newest first.
    #[api(as = AtMost<1000, DeletedOrgView>)]
    data: Vec<DeletedOrgView>,
}

impl DeletedOrgsView {
    /// The fields by which the orgs can be found, and no others: there can be a thousand orgs.
    #[must_use]
    pub fn new(orgs: &[Org]) -> Self {
        let data = orgs.iter().map(|org| DeletedOrgView {
            id: org.id,
            slug: org.slug.to_string(),
            status: org.status.as_str(),
        });
        Self {
            data: data.collect(),
        }
    }
}

/// Which orgs to delete by label.
#[derive(Query)]
pub struct DeletionQuery {
    /// The orgs with this label, as `key:value` with a value that is not empty. Repeat it to require several
    /// labels.
    label: DeletionLabels,
    /// With `true`, nothing is deleted: the response lists what would be.
    dry_run: Option<bool>,
}

/// Labels of which there must be one. [`OrgsDeletion`] is asked for that, once unknown parameters are
/// refused: whoever misspells `label` is to learn that.
struct DeletionLabels(Vec<(String, String)>);

impl ClientType for DeletionLabels {
    type As = Vec<String>;
}

impl QueryField for DeletionLabels {
    const REQUIRED: bool = true;
    const REPEATED: bool = true;

    fn schema() -> AnySchema {
        list(label_parameter(1), Some(1), Some(MAX_LABELS)).into()
    }

    fn example() -> Option<Value> {
        Some(json!(["run_id:123"]))
    }

    fn read(query: &mut Parameters, name: &'static str) -> Result<Self, QueryError> {
        labels(query, name).map(Self)
    }
}

impl TryFrom<DeletionQuery> for OrgsDeletion {
    type Error = QueryError;

    fn try_from(query: DeletionQuery) -> Result<Self, QueryError> {
        let DeletionLabels(labels) = query.label;
        if labels.is_empty() {
            return Err(QueryError::Bad(
                "No label was sent, so no org is deleted. Name the orgs by label=key:value."
                    .to_owned(),
            ));
        }
        if let Some((key, _)) = labels.iter().find(|(_, value)| value.is_empty()) {
            return Err(QueryError::Bad(format!(
                "The label {key} has an empty value. Check that the variable that it comes from is set."
            )));
        }
        Ok(Self {
            labels,
            dry_run: query.dry_run.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Query as _;

    #[test]
    fn orgs_are_deleted_by_label_and_by_nothing_else() {
        let ask = |query: &[(&str, &str)]| {
            let pairs = query
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()));
            let query = DeletionQuery::read_all(Parameters::new(pairs), false).ok()?;
            let asked = OrgsDeletion::try_from(query).ok()?;
            Some((asked.labels, asked.dry_run))
        };
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            ask(&[("label", "b:1"), ("label", "a:2"), ("label", "b:1")]),
            Some((vec![label("a", "2"), label("b", "1")], false))
        );
        for (text, expect) in [("true", true), ("false", false)] {
            assert_eq!(
                ask(&[("label", "a:b"), ("dry_run", text)]),
                Some((vec![label("a", "b")], expect))
            );
        }
        let refused: [&[(&str, &str)]; 10] = [
            &[],
            &[("dry_run", "true")],
            &[("label", "")],
            &[("label", "a:")],
            &[("label", "a:b"), ("label", "c:")],
            &[("label", "a")],
            &[("label", "A:b")],
            &[("label", "a:b"), ("dry_run", "1")],
            &[("label", "a:b"), ("dry_run", "true"), ("dry_run", "true")],
            &[("label", "a:b"), ("status", "ready")],
        ];
        for query in refused {
            assert_eq!(ask(query), None, "{query:?}");
        }
    }
}
