//! The places at which this process works on orgs, and the orgs that are handed to it the moment they
//! are taken on record.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orgs::OrgWork;
use tokio::sync::mpsc;

use crate::reconcile::Hold;

/// The workshop of one process, open while its reconciler runs.
#[derive(Debug, Default)]
pub(crate) struct Workshop(Mutex<Room>);

#[derive(Debug, Default)]
struct Room {
    /// How many orgs may be worked on at once; none while it is closed.
    places: usize,
    taken: usize,
    /// How many of those are for orgs that are handed over.
    handed: usize,
    door: Option<mpsc::UnboundedSender<Handed>>,
}

/// A place that is taken until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    workshop: Arc<Workshop>,
    handed: bool,
}

/// An org that is handed over, held already.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) work: OrgWork,
    pub(crate) hold: Hold,
    pub(crate) place: Place,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut room = self.workshop.room();
        room.taken = room.taken.saturating_sub(1);
        if self.handed {
            room.handed = room.handed.saturating_sub(1);
        }
    }
}

impl Workshop {
    fn room(&self) -> MutexGuard<'_, Room> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it with this many places; what is handed over comes out of the door.
    pub(crate) fn open(&self, places: usize) -> mpsc::UnboundedReceiver<Handed> {
        let (door, inside) = mpsc::unbounded_channel();
        *self.room() = Room {
            places,
            taken: 0,
            handed: 0,
            door: Some(door),
        };
        inside
    }

    /// Closes it: nothing more is handed over.
    pub(crate) fn close(&self) {
        let mut room = self.room();
        room.places = 0;
        room.door = None;
    }

    /// How many places are free.
    pub(crate) fn free(&self) -> usize {
        let room = self.room();
        room.places.saturating_sub(room.taken)
    }

    /// Takes a place for an org that was found.
    pub(crate) fn take(self: &Arc<Self>) -> Place {
        self.room().taken += 1;
        Place {
            workshop: Arc::clone(self),
            handed: false,
        }
    }

    /// Keeps up to so many places for orgs that are to be handed over. They have half of all places at
    /// the most, lest what was due before waits for them.
    pub(crate) fn keep_free(self: &Arc<Self>, wanted: usize) -> Vec<Place> {
        let kept = {
            let mut room = self.room();
            let half = (room.places / 2).saturating_sub(room.handed);
            let free = room.places.saturating_sub(room.taken);
            let kept = wanted.min(half).min(free);
            room.taken += kept;
            room.handed += kept;
            kept
        };
        let place = |_| Place {
            workshop: Arc::clone(self),
            handed: true,
        };
        (0..kept).map(place).collect()
    }

    /// Hands an org over for which a place was kept; `false` when it is closed meanwhile.
    pub(crate) fn hand_over(&self, work: OrgWork, hold: Hold, place: Place) -> bool {
        // Not under the lock: what can't be sent leaves its place.
        let door = self.room().door.clone();
        door.is_some_and(|door| door.send(Handed { work, hold, place }).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_has_half_of_the_places_at_the_most() {
        let workshop = Arc::new(Workshop::default());
        assert_eq!((workshop.free(), workshop.keep_free(5).len()), (0, 0));
        let _inside = workshop.open(8);
        let mut handed = workshop.keep_free(3);
        assert_eq!(handed.len(), 3);
        handed.append(&mut workshop.keep_free(3));
        assert_eq!((handed.len(), workshop.free()), (4, 4));
        let _found: Vec<_> = (0..4).map(|_| workshop.take()).collect();
        assert_eq!(workshop.free(), 0);
        handed.pop();
        assert_eq!(workshop.free(), 1);
        handed.append(&mut workshop.keep_free(2));
        assert_eq!((handed.len(), workshop.free()), (4, 0));
        handed.pop();
        let _last = workshop.take();
        assert_eq!(workshop.keep_free(1).len(), 0, "another has taken it");
        workshop.close();
        assert_eq!((workshop.free(), workshop.keep_free(1).len()), (0, 0));
    }
}
