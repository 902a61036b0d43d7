//! What must be there, after all that was said and all that is on record.

use std::collections::{BTreeMap, BTreeSet};

use crate::caller::Change;

/// What an org may be seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It was created; whether it is ready yet is the reconciler's business.
    Created,
    /// It was resumed.
    Resumed,
    /// It was suspended.
    Suspended,
    /// It was deleted; whether it is gone yet is the reconciler's business.
    Deleted,
}

impl Stand {
    /// Whether the server may call it this.
    pub(crate) fn fits(self, status: &str) -> bool {
        match self {
            Self::Created => ["provisioning", "ready"].contains(&status),
            Self::Resumed => status == "ready",
            Self::Suspended => status == "suspended",
            Self::Deleted => ["deprovisioning", "deleted"].contains(&status),
        }
    }
}

/// An org that must be there.
#[derive(Clone, Debug)]
pub(crate) struct Org {
    pub(crate) slug: String,
    pub(crate) stand: Stand,
}

/// A key that must be there.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) revoked: bool,
}

/// All that must be there, by id.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) orgs: BTreeMap<String, Org>,
    pub(crate) keys: BTreeMap<String, Key>,
    slugs: BTreeMap<String, String>,
    names: BTreeMap<String, String>,
    /// The ids of what was changed since this was last taken.
    pub(crate) touched: BTreeSet<String>,
}

impl Model {
    /// Notes a change that was made; `made` is the id of what is new. Tells what can't be.
    pub(crate) fn apply(&mut self, change: &Change, made: Option<&str>) -> Result<(), String> {
        let made = || made.ok_or_else(|| format!("{change:?} has made nothing that has an id"));
        match change {
            Change::NewOrg { slug } => {
                let id = made()?;
                self.touched.insert(id.to_owned());
                once(&mut self.slugs, slug, id)?;
                self.orgs.entry(id.to_owned()).or_insert_with(|| Org {
                    slug: slug.clone(),
                    stand: Stand::Created,
                });
            }
            Change::NewKey { name } => {
                let id = made()?;
                self.touched.insert(id.to_owned());
                once(&mut self.names, name, id)?;
                self.keys.entry(id.to_owned()).or_insert_with(|| Key {
                    name: name.clone(),
                    revoked: false,
                });
            }
            Change::Suspend { org } => self.stands(org, Stand::Suspended)?,
            Change::Resume { org } => self.stands(org, Stand::Resumed)?,
            Change::Delete { org } => self.stands(org, Stand::Deleted)?,
            Change::Revoke { key } => {
                self.touched.insert(key.clone());
                let key = self.keys.get_mut(key);
                key.ok_or_else(|| format!("{change:?} of no key"))?.revoked = true;
            }
        }
        Ok(())
    }

    fn stands(&mut self, id: &str, stand: Stand) -> Result<(), String> {
        let org = self.orgs.get_mut(id);
        org.ok_or_else(|| format!("{stand:?} of no org {id}"))?
            .stand = stand;
        self.touched.insert(id.to_owned());
        Ok(())
    }
}

/// Notes that a name stands for an id, and for no other.
fn once(known: &mut BTreeMap<String, String>, name: &str, id: &str) -> Result<(), String> {
    match known.insert(name.to_owned(), id.to_owned()) {
        Some(other) if other != id => Err(format!("{name} was made twice: {other} and {id}")),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_org(slug: &str) -> Change {
        Change::NewOrg {
            slug: slug.to_owned(),
        }
    }

    #[test]
    fn what_is_made_twice_is_found_and_a_repeated_answer_is_not() {
        let mut model = Model::default();
        assert_eq!(model.apply(&new_org("a"), Some("org_1")), Ok(()));
        assert_eq!(model.apply(&new_org("a"), Some("org_1")), Ok(()));
        assert!(model.apply(&new_org("a"), Some("org_2")).is_err());
        assert!(model.apply(&new_org("b"), None).is_err());
    }

    #[test]
    fn a_repeated_creation_does_not_undo_what_came_after() {
        let mut model = Model::default();
        let org = "org_1".to_owned();
        model.apply(&new_org("a"), Some("org_1")).unwrap();
        model.apply(&Change::Delete { org }, None).unwrap();
        model.apply(&new_org("a"), Some("org_1")).unwrap();
        let stand = model.orgs["org_1"].stand;
        assert!(stand.fits("deleted") && !stand.fits("ready"));
    }
}
