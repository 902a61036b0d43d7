//! Which endpoints are served next.
//!
//! A partner has a share of the slots, so that no number of endpoints takes them all. Endpoints that
//! have taken long to answer share a part of the slots of their own: a receiver that never answers
//! holds its slot for the whole time-out, and there can be many of them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ids::{EndpointId, PartnerId};
use tokio::task::Id;
use webhooks::PendingEndpoint;

use crate::partner_turns::PartnerTurns;

/// How many endpoints are served at once.
const SLOTS: usize = 128;
/// How many of them can be one partner's.
const PARTNER_SHARE: usize = 8;
/// How many can be endpoints that take long to answer.
const SLOW_SHARE: usize = 32;
/// How many of those can be one partner's.
const SLOW_PARTNER_SHARE: usize = 2;
/// How many endpoints' last turns are remembered. Past that all are forgotten at once.
const REMEMBERED: usize = 16_384;

/// The slots of one deliverer.
#[derive(Debug, Default)]
pub(super) struct Slots {
    running: HashMap<Id, Running>,
    partners: PartnerTurns,
    last: HashMap<EndpointId, LastTurn>,
    count: u64,
}

/// An endpoint that is being served.
#[derive(Clone, Copy, Debug)]
struct Running {
    endpoint: EndpointId,
    partner: PartnerId,
    slow: bool,
}

#[derive(Clone, Copy, Debug)]
struct LastTurn {
    number: u64,
    slow: bool,
}

/// How many endpoints with something due could not be served at the last look, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deferred {
    /// Their partner has its share of the slots.
    pub partner_share: u64,
    /// They take long to answer, and such endpoints have their share.
    pub slow_share: u64,
    /// There was no slot left.
    pub slots: u64,
}

/// The endpoints of one partner that wait, those that take long apart.
#[derive(Debug, Default)]
struct Queues {
    quick: VecDeque<PendingEndpoint>,
    slow: VecDeque<PendingEndpoint>,
}

/// The slots that are taken, as a choice goes on.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    slow: usize,
    of_partner: HashMap<PartnerId, usize>,
    slow_of_partner: HashMap<PartnerId, usize>,
}

impl Taken {
    fn add(&mut self, partner: PartnerId, slow: bool) {
        self.all += 1;
        *self.of_partner.entry(partner).or_default() += 1;
        if slow {
            self.slow += 1;
            *self.slow_of_partner.entry(partner).or_default() += 1;
        }
    }

    fn of(&self, partner: PartnerId) -> usize {
        self.of_partner.get(&partner).copied().unwrap_or_default()
    }

    fn takes_slow(&self, partner: PartnerId) -> bool {
        let own = self.slow_of_partner.get(&partner).copied();
        self.slow < SLOW_SHARE && own.unwrap_or_default() < SLOW_PARTNER_SHARE
    }

    /// Whether the partner can have a turn now.
    fn takes(&self, partner: PartnerId, queues: &Queues) -> bool {
        self.of(partner) < PARTNER_SHARE
            && (!queues.quick.is_empty() || (!queues.slow.is_empty() && self.takes_slow(partner)))
    }
}

impl Slots {
    /// Whether there is no slot left.
    pub(super) fn are_taken(&self) -> bool {
        self.running.len() >= SLOTS
    }

    /// Which of these endpoints are served next, and how many of them are not.
    pub(super) fn choose(&self, pending: &[PendingEndpoint]) -> (Vec<PendingEndpoint>, Deferred) {
        let mut waiting = self.queues(pending);
        let mut taken = Taken::default();
        for running in self.running.values() {
            taken.add(running.partner, running.slow);
        }
        let mut chosen = Vec::new();
        while taken.all < SLOTS {
            let may = waiting
                .iter()
                .filter(|(partner, queues)| taken.takes(**partner, queues));
            let may = may.map(|(&partner, _)| (partner, taken.of(partner)));
            let Some(partner) = self.partners.next(may) else {
                break;
            };
            let Some(queues) = waiting.get_mut(&partner) else {
                break;
            };
            let slow = queues.quick.is_empty()
                || (taken.takes_slow(partner) && self.is_before(&queues.slow, &queues.quick));
            let next = if slow {
                queues.slow.pop_front()
            } else {
                queues.quick.pop_front()
            };
            taken.add(partner, slow);
            chosen.extend(next);
        }
        (chosen, deferred(&waiting, &taken))
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
        self.last.get(&id).is_some_and(|last| last.slow)
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

    /// Notes that an endpoint is being served by a task.
    pub(super) fn begin(&mut self, task: Id, endpoint: PendingEndpoint) {
        let slow = self.is_slow(endpoint.id);
        if self.last.len() >= REMEMBERED {
            self.last.clear();
        }
        self.count += 1;
        let number = self.count;
        self.last.insert(endpoint.id, LastTurn { number, slow });
        self.partners.took(endpoint.partner_id);
        let running = Running {
            endpoint: endpoint.id,
            partner: endpoint.partner_id,
            slow,
        };
        self.running.insert(task, running);
    }

    /// Notes that a task has ended, and whether its endpoint took long to answer, if it was asked.
    pub(super) fn end(&mut self, task: Id, slow: Option<bool>) {
        if let Some(running) = self.running.remove(&task)
            && let Some(slow) = slow
            && let Some(last) = self.last.get_mut(&running.endpoint)
        {
            last.slow = slow;
        }
    }
}

/// Why those that still wait were not chosen.
fn deferred(waiting: &BTreeMap<PartnerId, Queues>, taken: &Taken) -> Deferred {
    let mut deferred = Deferred::default();
    for (&partner, queues) in waiting {
        let count = |queue: &VecDeque<_>| u64::try_from(queue.len()).unwrap_or(u64::MAX);
        let (quick, slow) = (count(&queues.quick), count(&queues.slow));
        if taken.of(partner) >= PARTNER_SHARE {
            deferred.partner_share += quick + slow;
        } else if taken.takes_slow(partner) {
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
