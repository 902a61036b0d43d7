//! The peppers that a server is started with, compared with those that stored keys need.

use std::{collections::BTreeSet, fmt};

use keys::{PepperId, PepperNotes, PepperUse};
use stores::Transaction;
use time::OffsetDateTime;

use crate::SetupError;

/// What a start does about keys whose pepper is not among the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanPolicy {
    /// It fails.
    Refuse,
    /// It gives them up for good.
    Abandon,
}

/// Keys that could not be used any more.
#[derive(Debug)]
pub struct OrphanedKeys(Vec<PepperUse>);

impl fmt::Display for OrphanedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, orphaned) in self.0.iter().enumerate() {
            let separator = if place > 0 { "; " } else { "" };
            let (partner_keys, admin_keys) = (orphaned.partner_keys, orphaned.admin_keys);
            write!(
                f,
                "{separator}{partner_keys} partner keys and {admin_keys} admin keys "
            )?;
            match orphaned.pepper {
                Some(pepper) => write!(f, "need pepper {pepper}")?,
                None => f.write_str("may need a pepper that earlier starts were given")?,
            }
        }
        Ok(())
    }
}

/// Checks that every key has its pepper among those that are given, and stores which are.
pub(super) fn check<T: Transaction>(
    tx: &mut T,
    given: &[PepperId],
    now: OffsetDateTime,
    orphans: OrphanPolicy,
) -> Result<(), SetupError> {
    let before = tx.pepper_notes()?;
    let uses = tx.pepper_uses(now)?;
    let given: BTreeSet<PepperId> = given.iter().copied().collect();
    let is_missing = |id: &PepperId| !given.contains(id) && !before.given_up.contains(id);
    let orphaned: Vec<PepperUse> = uses
        .iter()
        .filter(|used| match &used.pepper {
            Some(pepper) => is_missing(pepper),
            None => before.given.iter().any(is_missing),
        })
        .copied()
        .collect();
    if orphans == OrphanPolicy::Refuse && !orphaned.is_empty() {
        return Err(SetupError::Orphans(OrphanedKeys(orphaned)));
    }
    // A start on a database that can't be written to now must not need to write.
    let is_labelled = uses.iter().all(|used| used.pepper.is_some());
    if let (Some(&only), 1, false) = (given.first(), given.len(), is_labelled) {
        // Whatever verifies does so under this one.
        tx.pepper_label(only)?;
    }
    let used = uses.iter().filter_map(|used| used.pepper);
    let notes = PepperNotes {
        given_up: used.filter(|pepper| !given.contains(pepper)).collect(),
        given,
    };
    if notes != before {
        tx.pepper_notes_replace(&notes)?;
    }
    Ok(())
}
