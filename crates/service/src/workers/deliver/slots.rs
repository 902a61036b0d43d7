//! Which endpoints are served next.
//!
//! A partner has a share of the slots, so that no number of endpoints takes them all. Slow endpoints share a part
//! of the slots of their own: a receiver that never answers holds its slot for the whole timeout, and there can
//! be many of them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ids::{EndpointId, PartnerId};
use tokio::task::Id;
use webhooks::PendingEndpoint;

use crate::runtime::{fair_share::Usage, fair_turns::FairTurns};

/// How many endpoints are served at once.
const SLOTS: usize = 128;
/// How many of them can be one partner's.
const PARTNER_SHARE: usize = 8;
/// How many can be slow endpoints'.
const SLOW_SHARE: usize = 32;
/// How many of those can be one partner's.
const SLOW_PARTNER_SHARE: usize = 2;
/// How many endpoints' last turns are kept. Past that all are dropped at once.
const MAX_LAST_TURNS: usize = 16_384;

/// The slots of one deliverer.
#[derive(Debug, Default)]
pub(super) struct Slots {
    running: HashMap<Id, Running>,
    partners: FairTurns<PartnerId>,
    last: HashMap<EndpointId, LastTurn>,
    count: u64,
}

/// An endpoint that is being served.
#[derive(Clone, Copy, Debug)]
struct Running {
    endpoint: EndpointId,
    partner: PartnerId,
    is_slow: bool,
}

#[derive(Clone, Copy, Debug)]
struct LastTurn {
    number: u64,
    is_slow: bool,
}

/// How many endpoints with something due could not be served at the last search, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeferredEndpoints {
    /// Their partner has its share of the slots.
    pub partner_share: u64,
    /// They are slow, and slow endpoints have their share.
    pub slow_share: u64,
    /// There was no slot left.
    pub slots: u64,
}

/// The endpoints of one partner that wait.
#[derive(Debug, Default)]
struct Queues {
    quick: VecDeque<PendingEndpoint>,
    slow: VecDeque<PendingEndpoint>,
}

/// The slots in use, as a choice goes on.
#[derive(Debug, Default)]
struct InUse {
    all: Usage<PartnerId>,
    slow: Usage<PartnerId>,
}

impl InUse {
    fn add(&mut self, partner: PartnerId, is_slow: bool) {
        self.all.add(partner);
        if is_slow {
            self.slow.add(partner);
        }
    }

    fn admits_slow(&self, partner: PartnerId) -> bool {
        self.slow.total() < SLOW_SHARE && self.slow.of(partner) < SLOW_PARTNER_SHARE
    }

    /// Whether the partner can have a turn now.
    fn admits(&self, partner: PartnerId, queues: &Queues) -> bool {
        self.all.of(partner) < PARTNER_SHARE
            && (!queues.quick.is_empty() || (!queues.slow.is_empty() && self.admits_slow(partner)))
    }
}

impl Slots {
    pub(super) fn are_all_in_use(&self) -> bool {
        self.running.len() >= SLOTS
    }

    /// Which of these endpoints are served next, and how many of them are not.
    pub(super) fn choose(
        &self,
        pending: &[PendingEndpoint],
    ) -> (Vec<PendingEndpoint>, DeferredEndpoints) {
        let mut waiting = self.queues(pending);
        let mut in_use = InUse::default();
        for running in self.running.values() {
            in_use.add(running.partner, running.is_slow);
        }
        let mut chosen = Vec::new();
        while in_use.all.total() < SLOTS {
            let admitted = waiting
                .iter()
                .filter(|(partner, queues)| in_use.admits(**partner, queues));
            let admitted = admitted.map(|(&partner, _)| (partner, in_use.all.of(partner)));
            let Some(partner) = self.partners.next(admitted) else {
                break;
            };
            let Some(queues) = waiting.get_mut(&partner) else {
                break;
            };
            let is_slow = queues.quick.is_empty()
                || (in_use.admits_slow(partner) && self.is_before(&queues.slow, &queues.quick));
            let next = if is_slow {
                queues.slow.pop_front()
            } else {
                queues.quick.pop_front()
            };
            in_use.add(partner, is_slow);
            chosen.extend(next);
        }
        (chosen, deferred(&waiting, &in_use))
    }

    /// The endpoints that wait by partner, the longest since its last turn first.
    fn queues(&self, pending: &[PendingEndpoint]) -> BTreeMap<PartnerId, Queues> {
        let mut sorted = pending.to_vec();
        sorted.sort_by_key(|it| (self.last_turn(it.id), it.due_at, it.id));
        let mut waiting: BTreeMap<PartnerId, Queues> = BTreeMap::new();
        for endpoint in sorted {
            let queues = waiting.entry(endpoint.partner_id).or_default();
            if self.is_slow(endpoint.id) {
                queues.slow.push_back(endpoint);
            } else {
                queues.quick.push_back(endpoint);
            }
        }
        waiting
    }

    fn last_turn(&self, id: EndpointId) -> u64 {
        self.last.get(&id).map_or(0, |last| last.number)
    }

    fn is_slow(&self, id: EndpointId) -> bool {
        self.last.get(&id).is_some_and(|last| last.is_slow)
    }

    /// Whether the first of `slow` has waited for longer than the first of `quick`.
    fn is_before(
        &self,
        slow: &VecDeque<PendingEndpoint>,
        quick: &VecDeque<PendingEndpoint>,
    ) -> bool {
        let first =
            |queue: &VecDeque<PendingEndpoint>| queue.front().map(|it| self.last_turn(it.id));
        first(slow).is_some_and(|slow| first(quick).is_none_or(|quick| slow < quick))
    }

    /// Gives a slot to the task that serves an endpoint.
    pub(super) fn acquire(&mut self, task: Id, endpoint: PendingEndpoint) {
        let is_slow = self.is_slow(endpoint.id);
        if self.last.len() >= MAX_LAST_TURNS {
            self.last.clear();
        }
        self.count += 1;
        let number = self.count;
        self.last.insert(endpoint.id, LastTurn { number, is_slow });
        self.partners.record(endpoint.partner_id);
        let running = Running {
            endpoint: endpoint.id,
            partner: endpoint.partner_id,
            is_slow,
        };
        self.running.insert(task, running);
    }

    /// Takes the slot of a task that has ended back, and records whether its endpoint was slow, if a message was
    /// sent to it.
    pub(super) fn release(&mut self, task: Id, is_slow: Option<bool>) {
        if let Some(running) = self.running.remove(&task)
            && let Some(is_slow) = is_slow
            && let Some(last) = self.last.get_mut(&running.endpoint)
        {
            last.is_slow = is_slow;
        }
    }
}

/// Why those that still wait were not chosen.
fn deferred(waiting: &BTreeMap<PartnerId, Queues>, in_use: &InUse) -> DeferredEndpoints {
    let mut deferred = DeferredEndpoints::default();
    for (&partner, queues) in waiting {
        let count = |queue: &VecDeque<_>| u64::try_from(queue.len()).unwrap_or(u64::MAX);
        let (quick, slow) = (count(&queues.quick), count(&queues.slow));
        if in_use.all.of(partner) >= PARTNER_SHARE {
            deferred.partner_share += quick + slow;
        } else if in_use.admits_slow(partner) {
            deferred.slots += quick + slow;
        } else {
            deferred.slots += quick;
            deferred.slow_share += slow;
        }
    }
    deferred
}

#[cfg(test)]
mod tests;
