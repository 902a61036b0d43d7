//! The deletion of orgs by label.

use api_macros::Response;
use ids::OrgId;
use orgs::{Org, OrgStatus, OrgsDeletion, Slug};
use serde::Serialize;

use super::filter::labels;
use crate::{Query, QueryError, wire::AtMost};

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

/// Reads which orgs to delete: their labels, and whether only to tell which they are.
///
/// # Errors
/// When there is no label, a value is bad, or there is an unknown parameter.
pub fn orgs_deletion(mut query: Query) -> Result<OrgsDeletion, QueryError> {
    let labels = labels(&mut query)?;
    let dry_run = query.single("dry_run", |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    })?;
    query.finish()?;
    if labels.is_empty() {
        return Err(QueryError::Bad(
            "No label was sent, so no org is deleted. Name the orgs by label=key:value.".to_owned(),
        ));
    }
    if let Some((key, _)) = labels.iter().find(|(_, value)| value.is_empty()) {
        return Err(QueryError::Bad(format!(
            "The label {key} has an empty value. Check that the variable that it comes from is set."
        )));
    }
    Ok(OrgsDeletion {
        labels,
        dry_run: dry_run.unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orgs_are_deleted_by_label_and_by_nothing_else() {
        let ask = |query: &[(&str, &str)]| {
            let pairs = query
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()));
            let asked = orgs_deletion(Query::new(pairs)).ok()?;
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
