//! The slots in which this process works on orgs, whose turn it is for one, and the orgs that are handed
//! to it the moment they are taken on record.
//!
//! Slots are shared by partner and by what is to be done, but only while others wait: whoever is alone
//! has them all. An org that is worked on keeps its slot; what is shared is the next one that is free.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ids::PartnerId;
use orgs::{DueOrg, OrgStatus, OrgWork};
use tokio::sync::mpsc;

use crate::{partner_turns::PartnerTurns, reconcile::Hold};

/// The slots of one process, open while its reconciler runs.
#[derive(Debug, Default)]
pub(crate) struct ProvisioningSlots(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many orgs may be worked on at once; none while it is closed.
    slots: usize,
    taken: usize,
    /// How many of those are for orgs that are handed over.
    handed: usize,
    /// How many of those are for orgs that are taken away.
    going: usize,
    of_partner: HashMap<PartnerId, usize>,
    turns: PartnerTurns,
    /// Whether the last choice was an org that is taken away.
    went: bool,
    /// How many orgs that were due found no slot at the last look.
    waiting: usize,
    handed_over: Option<mpsc::UnboundedSender<Handed>>,
}

/// A slot that is taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    slots: Arc<ProvisioningSlots>,
    partner: PartnerId,
    handed: bool,
    going: bool,
}

/// An org that is handed over, leased already.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) work: OrgWork,
    pub(crate) hold: Hold,
    pub(crate) permit: Permit,
}

impl State {
    fn of(&self, partner: PartnerId) -> usize {
        self.of_partner.get(&partner).copied().unwrap_or_default()
    }

    fn take(&mut self, partner: PartnerId, going: bool) {
        self.taken += 1;
        self.going += usize::from(going);
        *self.of_partner.entry(partner).or_default() += 1;
        self.turns.took(partner);
    }

    /// Whether the next slot is for an org that is taken away, when both kinds wait: each kind has half
    /// of them.
    fn goes_next(&self) -> bool {
        let made = self.taken.saturating_sub(self.going);
        match self.going.cmp(&made) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => !self.went,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.taken = state.taken.saturating_sub(1);
        if self.handed {
            state.handed = state.handed.saturating_sub(1);
        }
        if self.going {
            state.going = state.going.saturating_sub(1);
        }
        if let Some(own) = state.of_partner.get_mut(&self.partner) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                state.of_partner.remove(&self.partner);
            }
        }
    }
}

/// Orgs that wait, those of each partner in their order.
type Waiting = BTreeMap<PartnerId, VecDeque<DueOrg>>;

impl ProvisioningSlots {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens so many slots; what is handed over comes out of the receiver.
    pub(crate) fn open(&self, slots: usize) -> mpsc::UnboundedReceiver<Handed> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.state() = State {
            slots,
            handed_over: Some(sender),
            ..State::default()
        };
        receiver
    }

    /// Closes them: nothing more is handed over.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.slots = 0;
        state.handed_over = None;
    }

    /// How many slots are free.
    pub(crate) fn free(&self) -> usize {
        let state = self.state();
        state.slots.saturating_sub(state.taken)
    }

    /// How many orgs that were due found no slot at the last look.
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting
    }

    /// Takes up to so many slots for orgs that are due: the next one is for a partner with the fewest
    /// slots, and half of all are for orgs that are being made, if there are so many.
    pub(crate) fn choose(self: &Arc<Self>, due: Vec<DueOrg>, room: usize) -> Vec<(DueOrg, Permit)> {
        let found = due.len();
        let (mut making, mut going) = (Waiting::new(), Waiting::new());
        for org in due {
            let waiting = if org.status == OrgStatus::Deprovisioning {
                &mut going
            } else {
                &mut making
            };
            waiting.entry(org.partner_id).or_default().push_back(org);
        }
        let mut state = self.state();
        let mut chosen = Vec::with_capacity(room.min(found));
        while chosen.len() < room {
            let is_going = making.is_empty() || (!going.is_empty() && state.goes_next());
            let waiting = if is_going { &mut going } else { &mut making };
            let partners = waiting.keys().map(|&partner| (partner, state.of(partner)));
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
            state.take(partner, is_going);
            state.went = is_going;
            let permit = Permit {
                slots: Arc::clone(self),
                partner,
                handed: false,
                going: is_going,
            };
            chosen.push((org, permit));
        }
        state.waiting = found.saturating_sub(chosen.len());
        chosen
    }

    /// Takes slots for orgs that are to be handed over, each of its partner, as far as there are any.
    /// They have half of all slots at the most, lest what was due before waits for them; and while
    /// something waits, a partner that has a slot gets the next one by turns and not so.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        partners: impl IntoIterator<Item = Option<PartnerId>>,
    ) -> Vec<Option<Permit>> {
        let mut state = self.state();
        let mut reserve = |partner: PartnerId| {
            let is_free = state.taken < state.slots && state.handed < state.slots / 2;
            if !is_free || (state.waiting > 0 && state.of(partner) > 0) {
                return None;
            }
            state.take(partner, false);
            state.handed += 1;
            Some(Permit {
                slots: Arc::clone(self),
                partner,
                handed: true,
                going: false,
            })
        };
        let partners = partners.into_iter();
        partners.map(|partner| reserve(partner?)).collect()
    }

    /// Hands an org over for which a slot was reserved; `false` when they are closed meanwhile.
    pub(crate) fn hand_over(&self, work: OrgWork, hold: Hold, permit: Permit) -> bool {
        // Not under the lock: what can't be sent drops its permit.
        let sender = self.state().handed_over.clone();
        let handed = Handed { work, hold, permit };
        sender.is_some_and(|sender| sender.send(handed).is_ok())
    }
}

#[cfg(test)]
mod tests;
