//! What is stored of peppers: which of them digests were made with, the check value of the current one, and
//! which were given up.

use std::collections::BTreeMap;

use keys::{PepperId, PepperNotes, PepperQueries, PepperStore, PepperUse};
use stores::StoreError;
use time::OffsetDateTime;

use super::{admin_keys, meta, org_secrets, partner_keys, values};
use crate::session::{Session, Writing};

/// The name of the check value among the single values.
const CHECK: &str = "pepper_check";
/// The name of the notes on peppers among the single values: their ids, separated by spaces, those that have
/// been given up behind a minus.
const NOTES: &str = "peppers";
/// What stands before the id of a pepper that has been given up.
const GIVEN_UP: char = '-';

impl<M> PepperQueries for Session<M> {
    type Error = StoreError;

    fn pepper_check(&mut self) -> Result<Option<String>, StoreError> {
        self.run(|connection| meta::value(connection, CHECK))
    }

    fn pepper_uses(&mut self, now: OffsetDateTime) -> Result<Vec<PepperUse>, StoreError> {
        let mut counts: BTreeMap<Option<String>, (i64, i64, i64)> = BTreeMap::new();
        for (pepper, count) in partner_keys::counts_by_pepper(self, now)? {
            counts.entry(pepper).or_default().0 += count;
        }
        for (pepper, count) in admin_keys::counts_by_pepper(self, now)? {
            counts.entry(pepper).or_default().1 += count;
        }
        for (pepper, count) in org_secrets::counts_by_pepper(self)? {
            counts.entry(Some(pepper)).or_default().2 += count;
        }
        counts
            .into_iter()
            .map(|(pepper, (partner_keys, admin_keys, org_secrets))| {
                Ok(PepperUse {
                    pepper: pepper.as_deref().map(values::pepper_id).transpose()?,
                    partner_keys: values::number(partner_keys, "a count of keys")?,
                    admin_keys: values::number(admin_keys, "a count of keys")?,
                    org_secrets: values::number(org_secrets, "a count of secrets")?,
                })
            })
            .collect()
    }

    fn pepper_notes(&mut self) -> Result<PepperNotes, StoreError> {
        let text = self.run(|connection| meta::value(connection, NOTES))?;
        let mut notes = PepperNotes::default();
        for word in text.as_deref().unwrap_or_default().split_whitespace() {
            match word.strip_prefix(GIVEN_UP) {
                Some(given_up) => notes.given_up.insert(values::pepper_id(given_up)?),
                None => notes.given.insert(values::pepper_id(word)?),
            };
        }
        Ok(notes)
    }
}

impl PepperStore for Session<Writing> {
    fn pepper_check_replace(
        &mut self,
        expected: Option<&str>,
        new: &str,
    ) -> Result<bool, StoreError> {
        self.run(|connection| match expected {
            Some(expected) => meta::replace(connection, CHECK, expected, new),
            None => meta::insert(connection, CHECK, new),
        })
    }

    fn pepper_label(&mut self, pepper: PepperId) -> Result<(), StoreError> {
        let pepper = pepper.to_string();
        partner_keys::label_pepper(self, &pepper)?;
        admin_keys::label_pepper(self, &pepper)
    }

    fn pepper_notes_replace(&mut self, notes: &PepperNotes) -> Result<(), StoreError> {
        let given = notes.given.iter().map(ToString::to_string);
        let given_up = notes.given_up.iter().map(|id| format!("{GIVEN_UP}{id}"));
        let text = given.chain(given_up).collect::<Vec<_>>().join(" ");
        self.run(|connection| meta::delete(connection, NOTES))?;
        self.run(|connection| meta::insert(connection, NOTES, &text))?;
        Ok(())
    }
}
