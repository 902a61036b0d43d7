//! Whose turn it is when partners share a bounded number of slots.

use std::collections::HashMap;

use ids::PartnerId;

/// How many partners' last turns are remembered. Past that all are forgotten at once, and go round anew.
const REMEMBERED: usize = 16_384;

/// The turns of partners: the next one is of whoever has the fewest slots, and among those of whoever has
/// waited for the longest since their last.
#[derive(Debug, Default)]
pub(crate) struct PartnerTurns {
    last: HashMap<PartnerId, u64>,
    count: u64,
}

impl PartnerTurns {
    /// Whose turn it is of these, each with the number of slots that they have.
    pub(crate) fn next(
        &self,
        waiting: impl IntoIterator<Item = (PartnerId, usize)>,
    ) -> Option<PartnerId> {
        let last = |partner| self.last.get(&partner).copied().unwrap_or_default();
        let next = waiting
            .into_iter()
            .min_by_key(|&(partner, slots)| (slots, last(partner), partner));
        next.map(|(partner, _)| partner)
    }

    /// Notes that a partner has had a turn.
    pub(crate) fn took(&mut self, partner: PartnerId) {
        if self.last.len() >= REMEMBERED {
            self.last.clear();
        }
        self.count += 1;
        self.last.insert(partner, self.count);
    }
}

#[cfg(test)]
mod tests {
    use ids::{TypedId as _, Ulid};

    use super::*;

    fn partner(n: u128) -> PartnerId {
        PartnerId::from_ulid(Ulid::from(n))
    }

    #[test]
    fn turns_go_round_and_whoever_has_the_fewest_slots_comes_first() {
        let (a, b, c) = (partner(1), partner(2), partner(3));
        let mut turns = PartnerTurns::default();
        assert_eq!(turns.next([]), None);
        let mut order = Vec::new();
        for _ in 0..6 {
            let next = turns.next([(b, 0), (c, 0), (a, 0)]).unwrap();
            turns.took(next);
            order.push(next);
        }
        assert_eq!(order, [a, b, c, a, b, c]);
        assert_eq!(turns.next([(a, 1), (b, 2), (c, 0)]), Some(c));
        assert_eq!(turns.next([(a, 1), (b, 2), (c, 2)]), Some(a));
        let stranger = partner(9);
        assert_eq!(turns.next([(a, 1), (stranger, 1)]), Some(stranger));
    }
}
