//! Whose turn it is to read a list.

use std::collections::{HashMap, VecDeque};

use stores::{Requester, StoreError};
use tokio::sync::oneshot;

use super::ListPermit;

/// How many lists of one credential may wait.
pub(super) const MAX_WAITING_PER_CREDENTIAL: usize = 16;
/// How many lists may wait in all.
const MAX_WAITING: usize = 1024;

/// Who a share belongs to.
pub(super) type Id = u128;

/// Takes a permit to whoever waits for it.
type Waiter = oneshot::Sender<ListPermit>;

pub(super) struct Turns {
    /// How many lists may run at once, and how many of one owner.
    slots: usize,
    slots_per_owner: usize,
    running: usize,
    waiting: usize,
    owners: HashMap<Id, Owner>,
    /// The owners of lists that wait, in the order of their turns.
    turns: VecDeque<Id>,
}

#[derive(Default)]
struct Owner {
    running: usize,
    queues: HashMap<Id, VecDeque<Waiter>>,
    /// The credentials that wait, in the order of their turns.
    turns: VecDeque<Id>,
}

impl Turns {
    /// Nobody runs or waits; this many may run at once, and half of them of one owner.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            slots,
            slots_per_owner: (slots / 2).max(1),
            running: 0,
            waiting: 0,
            owners: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    pub(super) const fn running(&self) -> usize {
        self.running
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether as many lists of this owner run as may.
    pub(super) fn has_its_share(&self, by: Requester) -> bool {
        let owner = self.owners.get(&by.owner.into());
        owner.is_some_and(|owner| owner.running >= self.slots_per_owner)
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.owners.is_empty()
    }

    pub(super) fn enqueue(&mut self, by: Requester, sender: Waiter) -> Result<(), StoreError> {
        let (owner_id, credential) = (by.owner.into(), by.credential.into());
        let mut gone = 0;
        let owner = self.owners.entry(owner_id).or_default();
        let queue = owner.queues.entry(credential).or_default();
        if queue.len() >= MAX_WAITING_PER_CREDENTIAL {
            let before = queue.len();
            queue.retain(|waiter| !waiter.is_closed());
            gone = before - queue.len();
        }
        if queue.len() >= MAX_WAITING_PER_CREDENTIAL {
            return Err(StoreError::Throttled);
        }
        self.waiting = self.waiting.saturating_sub(gone);
        if self.waiting >= MAX_WAITING {
            self.purge();
        }
        if self.waiting >= MAX_WAITING {
            return Err(StoreError::Overloaded);
        }
        let owner = self.owners.entry(owner_id).or_default();
        if owner.turns.is_empty() {
            self.turns.push_back(owner_id);
        }
        let queue = owner.queues.entry(credential).or_default();
        if !owner.turns.contains(&credential) {
            owner.turns.push_back(credential);
        }
        queue.push_back(sender);
        self.waiting += 1;
        Ok(())
    }

    /// The next who gets a slot, if one is free; it counts as running from here on.
    pub(super) fn next(&mut self) -> Option<(Id, Waiter)> {
        if self.running >= self.slots {
            return None;
        }
        // Each owner is looked at once: those that have their share already stay in line.
        for _ in 0..self.turns.len() {
            let id = self.turns.pop_front()?;
            let Some(owner) = self.owners.get_mut(&id) else {
                continue;
            };
            if owner.running >= self.slots_per_owner {
                self.turns.push_back(id);
                continue;
            }
            let (sender, left) = owner.next();
            self.waiting = self.waiting.saturating_sub(left);
            if !owner.turns.is_empty() {
                self.turns.push_back(id);
            }
            match sender {
                Some(sender) => {
                    owner.running += 1;
                    self.running += 1;
                    return Some((id, sender));
                }
                None => self.forget_idle(id),
            }
        }
        None
    }

    pub(super) fn release(&mut self, id: Id) {
        self.running = self.running.saturating_sub(1);
        if let Some(owner) = self.owners.get_mut(&id) {
            owner.running = owner.running.saturating_sub(1);
        }
        self.forget_idle(id);
    }

    fn forget_idle(&mut self, id: Id) {
        let idle = |owner: &Owner| owner.running == 0 && owner.turns.is_empty();
        if self.owners.get(&id).is_some_and(idle) {
            self.owners.remove(&id);
        }
    }

    /// Forgets those who wait no more.
    pub(super) fn purge(&mut self) {
        self.waiting = 0;
        for owner in self.owners.values_mut() {
            for queue in owner.queues.values_mut() {
                queue.retain(|waiter| !waiter.is_closed());
                self.waiting += queue.len();
            }
        }
    }
}

impl Owner {
    /// The next of its lists, and how many have left the queue with it.
    fn next(&mut self) -> (Option<Waiter>, usize) {
        let mut left = 0;
        while let Some(credential) = self.turns.pop_front() {
            let Some(queue) = self.queues.get_mut(&credential) else {
                continue;
            };
            let mut next = None;
            while let Some(waiter) = queue.pop_front() {
                left += 1;
                if !waiter.is_closed() {
                    next = Some(waiter);
                    break;
                }
            }
            if queue.is_empty() {
                self.queues.remove(&credential);
            } else {
                self.turns.push_back(credential);
            }
            if next.is_some() {
                return (next, left);
            }
        }
        (None, left)
    }
}
