//! What must be there, after all that was answered and all that is recorded.

use std::collections::{BTreeMap, BTreeSet};

use super::caller::Change;

/// What an org may be seen to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was created; whether it is ready yet is the reconciler's business.
    Created,
    /// It was resumed.
    Resumed,
    /// It was suspended.
    Suspended,
    /// It was deleted; whether it is gone yet is the reconciler's business.
    Deleted,
}

impl State {
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
    pub(crate) state: State,
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
    /// Applies a change that was done; `created` is the id of what is new. Tells what can't be.
    pub(crate) fn apply(&mut self, change: &Change, created: Option<&str>) -> Result<(), String> {
        let created =
            || created.ok_or_else(|| format!("{change:?} has created nothing with an id"));
        match change {
            Change::NewOrg { slug } => {
                let id = created()?;
                self.touched.insert(id.to_owned());
                assign(&mut self.slugs, slug, id)?;
                self.orgs.entry(id.to_owned()).or_insert_with(|| Org {
                    slug: slug.clone(),
                    state: State::Created,
                });
            }
            Change::NewKey { name } => {
                let id = created()?;
                self.touched.insert(id.to_owned());
                assign(&mut self.names, name, id)?;
                self.keys.entry(id.to_owned()).or_insert_with(|| Key {
                    name: name.clone(),
                    revoked: false,
                });
            }
            Change::Suspend { org } => self.set(org, State::Suspended)?,
            Change::Resume { org } => self.set(org, State::Resumed)?,
            Change::Delete { org } => self.set(org, State::Deleted)?,
            Change::Revoke { key } => {
                self.touched.insert(key.clone());
                let key = self.keys.get_mut(key);
                key.ok_or_else(|| format!("{change:?} of no key"))?.revoked = true;
            }
        }
        Ok(())
    }

    fn set(&mut self, id: &str, state: State) -> Result<(), String> {
        let org = self.orgs.get_mut(id);
        org.ok_or_else(|| format!("{state:?} of no org {id}"))?
            .state = state;
        self.touched.insert(id.to_owned());
        Ok(())
    }
}

/// Notes that a name belongs to an id, and to no other.
fn assign(known: &mut BTreeMap<String, String>, name: &str, id: &str) -> Result<(), String> {
    match known.insert(name.to_owned(), id.to_owned()) {
        Some(other) if other != id => Err(format!("{name} was created twice: {other} and {id}")),
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
    fn what_is_created_twice_is_found_and_a_repeated_answer_is_not() {
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
        let state = model.orgs["org_1"].state;
        assert!(state.fits("deleted") && !state.fits("ready"));
    }
}
