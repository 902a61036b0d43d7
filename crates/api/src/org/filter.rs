//! The filters of a list of orgs.

use ids::{Labels, MAX_LABELS, Name, PartnerId};
use orgs::{OrgListRequest, OrgStatus, Slug};

use crate::{Query, QueryError};

/// Reads which orgs to list. Only an admin key's query has `partner_id`.
///
/// # Errors
/// When a value is bad.
pub fn org_list_request(query: &mut Query, by_admin: bool) -> Result<OrgListRequest, QueryError> {
    let status = query.filter("status", str::parse::<OrgStatus>)?;
    let slug = query.filter("slug", |text| Slug::new(text))?;
    let external_id = query.filter("external_id", |text| Name::new(text))?;
    let partner_id = if by_admin {
        query.filter("partner_id", str::parse::<PartnerId>)?
    } else {
        None
    };
    Ok(OrgListRequest {
        partner_id,
        status,
        slug,
        external_id,
        labels: labels(query)?,
    })
}

/// The labels that are asked for, each a key and its value.
pub(super) fn labels(query: &mut Query) -> Result<Vec<(String, String)>, QueryError> {
    let mut wanted = query.many("label");
    // Counted as they were sent: several of one key count too, though no org has them all.
    if wanted.len() > MAX_LABELS {
        return Err(QueryError::Bad(format!(
            "label: can be given {MAX_LABELS} times at most"
        )));
    }
    wanted.sort_unstable();
    wanted.dedup();
    for text in &wanted {
        query.bind("label", text);
    }
    let pairs = wanted
        .into_iter()
        .map(|text| {
            text.split_once(':')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .ok_or(text)
        })
        .collect::<Result<Vec<_>, String>>()
        .map_err(|_| QueryError::Bad("label: must be key:value, such as run_id:123".to_owned()))?;
    if let Err(error) = Labels::new(pairs.iter().cloned()) {
        return Err(QueryError::Bad(format!("label: {error}")));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orgs_deletion;

    #[test]
    fn labels_are_asked_for_as_key_and_value() {
        let ask = |label: &str| {
            let mut query = Query::new([("label".to_owned(), label.to_owned())]);
            org_list_request(&mut query, true).map(|filter| filter.labels)
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
                let mut query = Query::new(labels.clone());
                let listed = org_list_request(&mut query, true).is_ok();
                assert_eq!(orgs_deletion(Query::new(labels)).is_ok(), listed);
                listed
            };
            assert!(asked(16), "{}", label(0));
            assert!(!asked(17), "{}", label(0));
        }
    }
}
