//! The peppers that a server is started with, compared with those that stored keys and secrets need.

use std::{collections::BTreeSet, fmt};

use ids::EndpointId;
use keys::{PepperId, PepperNotes, PepperUse, Peppers};
use stores::{Database, StoreError, Transaction, prelude::*};
use time::OffsetDateTime;

use crate::{SetupError, webhooks::webhook_secret_pepper};

/// How many webhook endpoints are read at a time.
const PAGE: usize = 500;

/// What a start does about keys and secrets whose pepper is not among the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanPolicy {
    /// It fails.
    Refuse,
    /// It gives them up for good.
    Abandon,
}

/// Keys and secrets that could not be used any more.
#[derive(Debug)]
pub struct Orphans {
    uses: Vec<PepperUse>,
    webhook_secrets: u64,
}

impl fmt::Display for Orphans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for orphaned in &self.uses {
            let PepperUse {
                pepper,
                partner_keys,
                admin_keys,
                org_secrets,
            } = orphaned;
            write!(
                f,
                "{separator}{partner_keys} partner keys, {admin_keys} admin keys and the secrets of \
                 {org_secrets} orgs "
            )?;
            match pepper {
                Some(pepper) => write!(f, "need pepper {pepper}")?,
                None => f.write_str("may need a pepper that earlier starts were given")?,
            }
            separator = "; ";
        }
        if self.webhook_secrets > 0 {
            write!(
                f,
                "{separator}{} webhook secrets need a pepper that earlier starts were given",
                self.webhook_secrets
            )?;
        }
        Ok(())
    }
}

/// How many secrets of webhook endpoints none of these peppers opens. They are looked through only when a pepper
/// is missing that the last start was given.
pub(super) async fn orphaned_webhook_secrets<D: Database>(
    db: &D,
    peppers: &Peppers,
) -> Result<u64, StoreError> {
    let notes: Result<PepperNotes, StoreError> = db.read(|view| view.pepper_notes()).await;
    let given: BTreeSet<PepperId> = peppers.ids().collect();
    let (mut count, mut after): (u64, Option<EndpointId>) = (0, None);
    if notes?.given.is_subset(&given) {
        return Ok(0);
    }
    loop {
        let page: Result<_, StoreError> =
            db.read(move |view| view.sealed_secrets(after, PAGE)).await;
        let page = page?;
        let Some(&(last, _)) = page.last() else {
            return Ok(count);
        };
        after = Some(last);
        for (id, secrets) in &page {
            let is_orphaned =
                |sealed: &&[u8]| webhook_secret_pepper(peppers, *id, sealed).is_none();
            let orphaned = secrets.all().filter(is_orphaned).count();
            count = count.saturating_add(u64::try_from(orphaned).unwrap_or(u64::MAX));
        }
    }
}

/// Checks that every key and every secret has its pepper among those that are given, and stores which are.
pub(super) fn check<T: Transaction>(
    tx: &mut T,
    given: &[PepperId],
    now: OffsetDateTime,
    (orphans, webhook_secrets): (OrphanPolicy, u64),
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
    let is_orphaned = !orphaned.is_empty() || webhook_secrets > 0;
    if orphans == OrphanPolicy::Refuse && is_orphaned {
        return Err(SetupError::Orphans(Orphans {
            uses: orphaned,
            webhook_secrets,
        }));
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
