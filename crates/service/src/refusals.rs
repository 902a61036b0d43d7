//! Refusals by a limit, folded: one event for each credential and second, with a count.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use api::ErrorCode;
use audit::{AuditStore as _, Event};
use ids::{EventId, TypedId, Ulid};
use ratelimit::Limiter;
use stores::{Database, StoreError};

use crate::{Caller, Context, Service, audited::refused_event};

/// The refusals that are not yet wholly on record. There is at most one entry for each known
/// credential and each second since the last flush.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<(Ulid, i64), Folded>>);

#[derive(Clone, Debug)]
struct Folded {
    event: Event,
    count: u64,
    /// How many of them are on record.
    recorded: u64,
}

impl Refusals {
    /// Counts one refusal and names the event that will tell of it.
    pub(crate) fn fold(&self, context: &Context, id: impl FnOnce() -> EventId) -> EventId {
        let who = match &context.caller {
            Caller::Admin(key) => key.id.ulid(),
            Caller::Partner(held) => held.key.id.ulid(),
        };
        let second = context.call.at.unix_timestamp();
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let folded = open.entry((who, second)).or_insert_with(|| Folded {
            event: refused_event(context, id(), ErrorCode::RateLimited),
            count: 0,
            recorded: 0,
        });
        folded.count += 1;
        folded.event.id
    }

    fn unrecorded(&self) -> Vec<((Ulid, i64), Folded)> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter()
            .filter(|(_, folded)| folded.recorded < folded.count)
            .map(|(&key, folded)| (key, folded.clone()))
            .collect()
    }

    /// Notes what is on record, and forgets the seconds that are over and wholly on record.
    fn recorded(&self, written: &[((Ulid, i64), u64)], now: i64) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, count) in written {
            if let Some(folded) = open.get_mut(key) {
                folded.recorded = *count;
            }
        }
        // A call may still be on its way with the second before this one.
        open.retain(|&(_, second), folded| folded.recorded < folded.count || second + 2 > now);
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Writes the folded refusals to the audit log. Called several times a second, it keeps each of
    /// them durable within one.
    ///
    /// # Errors
    /// When storage can't take them; they are kept for the next time.
    pub async fn record_refusals(&self) -> Result<(), StoreError> {
        let pending = self.refusals.unrecorded();
        let written: Vec<_> = pending
            .iter()
            .map(|(key, folded)| (*key, folded.count))
            .collect();
        if !pending.is_empty() {
            let events: Vec<Event> = pending
                .into_iter()
                .map(|(_, folded)| counted(folded))
                .collect();
            self.db
                .write(move |tx| events.iter().try_for_each(|event| tx.event_fold(event)))
                .await?;
        }
        self.refusals
            .recorded(&written, self.world.now().unix_timestamp());
        Ok(())
    }
}

fn counted(folded: Folded) -> Event {
    let mut event = folded.event;
    event
        .details
        .insert("count".to_owned(), folded.count.into());
    event
}
