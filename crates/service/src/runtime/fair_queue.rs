//! A bounded queue that serves its keys in turn, so that one key's flood delays no other.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

use super::fair_share::has_room;

/// A queue of items by key: each key's items are in order, and keys take turns.
///
/// A key may have as many items waiting as there is room left for others, so one alone gets half of the
/// capacity.
#[derive(Debug)]
pub(crate) struct FairQueue<K, T> {
    capacity: usize,
    len: usize,
    by_key: HashMap<K, VecDeque<T>>,
    /// Each key that has items waiting, once.
    turns: VecDeque<K>,
}

impl<K: Copy + Eq + Hash, T> FairQueue<K, T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            len: 0,
            by_key: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    /// Adds an item; gives it back when the key has its share of the queue.
    pub(crate) fn push(&mut self, key: K, item: T) -> Result<(), T> {
        let own = self.by_key.get(&key).map_or(0, VecDeque::len);
        if !has_room(own, self.len, self.capacity) {
            return Err(item);
        }
        if own == 0 {
            self.turns.push_back(key);
        }
        self.by_key.entry(key).or_default().push_back(item);
        self.len += 1;
        Ok(())
    }

    /// Takes the item that has waited longest of the key whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let key = self.turns.pop_front()?;
        let own = self.by_key.get_mut(&key)?;
        let next = own.pop_front();
        if own.is_empty() {
            self.by_key.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        self.len = self.len.saturating_sub(1);
        next
    }

    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_turns() {
        let mut queue = FairQueue::new(10_000);
        for n in 0..1000 {
            queue.push(1, n).unwrap();
        }
        queue.push(2, 5000).unwrap();
        let first: Vec<i32> = (0..256).filter_map(|_| queue.pop()).collect();
        assert_eq!(first.iter().position(|&item| item == 5000), Some(1));
        assert_eq!(queue.len(), 1001 - 256);
        assert!(!queue.by_key.contains_key(&2), "it was in the first batch");
        while queue.pop().is_some() {}
        assert_eq!(
            (queue.len(), queue.by_key.len(), queue.turns.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn one_key_leaves_room_for_others() {
        let mut queue = FairQueue::new(100);
        let own = std::iter::from_fn(|| queue.push(1, ()).ok()).count();
        assert_eq!(own, 50);
        assert!(queue.push(2, ()).is_ok());
    }
}
