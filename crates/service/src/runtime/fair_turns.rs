//! Whose turn it is among holders of a bounded number of slots: round robin, the fewest slots first.

use std::{collections::HashMap, hash::Hash};

/// How many holders' last turns are kept. Past that all are dropped at once, and the round begins anew.
const MAX_HOLDERS: usize = 16_384;

/// The turns of holders: the next one goes to a holder with the fewest slots, and among those to the one whose
/// last turn is the longest ago.
#[derive(Debug)]
pub(crate) struct FairTurns<K> {
    last: HashMap<K, u64>,
    count: u64,
}

impl<K> Default for FairTurns<K> {
    fn default() -> Self {
        Self {
            last: HashMap::new(),
            count: 0,
        }
    }
}

impl<K: Copy + Eq + Hash + Ord> FairTurns<K> {
    /// Whose turn it is among holders that wait, each given with the number of its slots.
    pub(crate) fn next(&self, waiting: impl IntoIterator<Item = (K, usize)>) -> Option<K> {
        let last = |holder| self.last.get(&holder).copied().unwrap_or_default();
        let next = waiting
            .into_iter()
            .min_by_key(|&(holder, slots)| (slots, last(holder), holder));
        next.map(|(holder, _)| holder)
    }

    /// Records that a holder has had a turn.
    pub(crate) fn record(&mut self, holder: K) {
        if self.last.len() >= MAX_HOLDERS {
            self.last.clear();
        }
        self.count += 1;
        self.last.insert(holder, self.count);
    }
}

#[cfg(test)]
mod tests {
    use ids::{PartnerId, TypedId as _, Ulid};

    use super::*;

    fn partner(n: u128) -> PartnerId {
        PartnerId::from_ulid(Ulid::from(n))
    }

    #[test]
    fn turns_go_round_and_whoever_has_the_fewest_slots_comes_first() {
        let (a, b, c) = (partner(1), partner(2), partner(3));
        let mut turns = FairTurns::default();
        assert_eq!(turns.next([]), None);
        let mut order = Vec::new();
        for _ in 0..6 {
            let next = turns.next([(b, 0), (c, 0), (a, 0)]).unwrap();
            turns.record(next);
            order.push(next);
        }
        assert_eq!(order, [a, b, c, a, b, c]);
        assert_eq!(turns.next([(a, 1), (b, 2), (c, 0)]), Some(c));
        assert_eq!(turns.next([(a, 1), (b, 2), (c, 2)]), Some(a));
        let newcomer = partner(9);
        assert_eq!(turns.next([(a, 1), (newcomer, 1)]), Some(newcomer));
    }
}
