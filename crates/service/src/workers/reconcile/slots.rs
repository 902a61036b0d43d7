//! The slots in which this process works on orgs, whose turn it is for one, and the orgs that are handed over
//! to it as they are created.
//!
//! Slots are shared by partner and by kind of work, but only while others wait: a partner that is alone has
//! them all. An org that is worked on keeps its slot; what is shared is the next one that is free.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ids::PartnerId;
use orgs::{DueOrg, Org, OrgStatus};
use tokio::sync::mpsc;

use super::AcquiredLease;
use crate::runtime::{fair_share::Usage, fair_turns::FairTurns};

/// The slots of one process, open while its reconciler runs.
#[derive(Debug, Default)]
pub(crate) struct ProvisioningSlots(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many orgs may be worked on at once; none while the slots are closed.
    capacity: usize,
    in_use: Usage<PartnerId>,
    /// How many of those are for orgs that are handed over.
    handed_over: usize,
    /// How many of those are for orgs that are deprovisioned.
    deprovisioning: usize,
    turns: FairTurns<PartnerId>,
    /// Whether the last choice was an org to deprovision.
    last_was_deprovision: bool,
    /// How many orgs that were due found no slot at the last search.
    waiting: usize,
    receiver: Option<mpsc::UnboundedSender<HandedOver>>,
}

/// A slot in use, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    slots: Arc<ProvisioningSlots>,
    partner: PartnerId,
    is_handed_over: bool,
    is_deprovision: bool,
}

/// An org that is handed over, with its lease and slot.
#[derive(Debug)]
pub(crate) struct HandedOver {
    pub(crate) org: Org,
    pub(crate) lease: AcquiredLease,
    pub(crate) permit: Permit,
}

impl State {
    fn take(&mut self, partner: PartnerId, is_deprovision: bool) {
        self.in_use.add(partner);
        self.deprovisioning += usize::from(is_deprovision);
        self.turns.record(partner);
    }

    /// Whether the next slot is for an org to deprovision, when both kinds wait: each kind has half of them.
    fn is_deprovision_next(&self) -> bool {
        let provisioning = self.in_use.total().saturating_sub(self.deprovisioning);
        match self.deprovisioning.cmp(&provisioning) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => !self.last_was_deprovision,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.in_use.remove(self.partner);
        if self.is_handed_over {
            state.handed_over = state.handed_over.saturating_sub(1);
        }
        if self.is_deprovision {
            state.deprovisioning = state.deprovisioning.saturating_sub(1);
        }
    }
}

/// Orgs that wait by partner, in their order.
type Waiting = BTreeMap<PartnerId, VecDeque<DueOrg>>;

impl ProvisioningSlots {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens so many slots; what is handed over comes out of the receiver.
    pub(crate) fn open(&self, capacity: usize) -> mpsc::UnboundedReceiver<HandedOver> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.state() = State {
            capacity,
            receiver: Some(sender),
            ..State::default()
        };
        receiver
    }

    /// Closes the slots: nothing more is handed over.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.capacity = 0;
        state.receiver = None;
    }

    /// How many slots are free.
    pub(crate) fn free(&self) -> usize {
        let state = self.state();
        state.capacity.saturating_sub(state.in_use.total())
    }

    /// How many orgs that were due found no slot at the last search.
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// Takes up to so many slots for orgs that are due: the next one is for a partner with the fewest slots, and
    /// half of all are for orgs to provision, if there are so many.
    pub(crate) fn choose(self: &Arc<Self>, due: Vec<DueOrg>, room: usize) -> Vec<(DueOrg, Permit)> {
        let found = due.len();
        let (mut provision, mut deprovision) = (Waiting::new(), Waiting::new());
        for org in due {
            let waiting = if org.status == OrgStatus::Deprovisioning {
                &mut deprovision
            } else {
                &mut provision
            };
            waiting.entry(org.partner_id).or_default().push_back(org);
        }
        let mut state = self.state();
        let mut chosen = Vec::with_capacity(room.min(found));
        while chosen.len() < room {
            let is_deprovision =
                provision.is_empty() || (!deprovision.is_empty() && state.is_deprovision_next());
            let waiting = if is_deprovision {
                &mut deprovision
            } else {
                &mut provision
            };
            let partners = waiting
                .keys()
                .map(|&partner| (partner, state.in_use.of(partner)));
            let Some(partner) = state.turns.next(partners) else {
                break;
            };
            let Some(orgs) = waiting.get_mut(&partner) else {
                break;
            };
            let next = orgs.pop_front();
            if orgs.is_empty() {
                waiting.remove(&partner);
            }
            let Some(org) = next else { continue };
            state.take(partner, is_deprovision);
            state.last_was_deprovision = is_deprovision;
            let permit = Permit {
                slots: Arc::clone(self),
                partner,
                is_handed_over: false,
                is_deprovision,
            };
            chosen.push((org, permit));
        }
        state.waiting = found.saturating_sub(chosen.len());
        chosen
    }

    /// Takes slots for orgs that are to be handed over, each of its partner, as far as there are any. They have
    /// half of all slots at the most, so that what was due before does not wait for them; and while something
    /// waits, a partner that has a slot gets the next one by turns alone.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        partners: impl IntoIterator<Item = Option<PartnerId>>,
    ) -> Vec<Option<Permit>> {
        let mut state = self.state();
        let mut reserve = |partner: PartnerId| {
            let is_free =
                state.in_use.total() < state.capacity && state.handed_over < state.capacity / 2;
            if !is_free || (state.waiting > 0 && state.in_use.of(partner) > 0) {
                return None;
            }
            state.take(partner, false);
            state.handed_over += 1;
            Some(Permit {
                slots: Arc::clone(self),
                partner,
                is_handed_over: true,
                is_deprovision: false,
            })
        };
        let partners = partners.into_iter();
        partners.map(|partner| reserve(partner?)).collect()
    }

    /// Hands an org over for which a slot was reserved. When the slots were closed meanwhile, another worker
    /// takes the org up as soon as its lease ends.
    pub(crate) fn hand_over(&self, org: Org, lease: AcquiredLease, permit: Permit) {
        // Not under the lock: what can't be sent drops its permit, which takes the lock.
        let receiver = self.state().receiver.clone();
        let handed_over = HandedOver { org, lease, permit };
        if let Some(receiver) = receiver {
            drop(receiver.send(handed_over));
        }
    }
}

#[cfg(test)]
mod tests;
