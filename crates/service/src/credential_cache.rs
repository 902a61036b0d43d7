//! What is remembered of credentials between calls, and for how long it counts.
//!
//! Everything here carries the revision of keys that had been heard of before it was read, and counts
//! only while no later change of its key or its partner is known. So a fill that races a revocation
//! needs no lock: whatever it leaves behind does not count. And nothing counts at all unless the log of
//! changes was asked less than [`TERM`] ago.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use ids::{TypedId as _, Ulid};
use keys::{CHANGES_KEPT, Changed, Changes, KeyDigest};
use quick_cache::sync::Cache;
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;

use self::sync::RwLock;
use crate::Caller;

#[cfg(test)]
mod races;
#[cfg(not(test))]
mod sync {
    pub(super) use parking_lot::RwLock;
}
#[cfg(test)]
use self::races::sync;

/// How long an answer of the log of changes counts, from the moment at which it was asked.
pub(crate) const TERM: Duration = Duration::seconds(2);
/// How many credentials are remembered.
const KNOWN: usize = 200_000;
/// How many digests are remembered that belong to no credential.
const UNKNOWN: usize = 100_000;

/// A moment on the clock that never steps back and on the one that goes on while a machine sleeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    steady: Instant,
    wall: OffsetDateTime,
}

impl Moment {
    /// This moment, which is `wall` on the clock on the wall.
    pub(crate) fn now(wall: OffsetDateTime) -> Self {
        let steady = Instant::now();
        Self { steady, wall }
    }

    fn is_within_term_of(self, earlier: Self) -> bool {
        let steady = self.steady.saturating_duration_since(earlier.steady);
        steady < TERM && (self.wall - earlier.wall).abs() < TERM
    }
}

/// What memory tells of a digest.
#[derive(Debug)]
pub(crate) enum CacheLookup {
    /// Whose it is.
    Known(Arc<Known>),
    /// It is nobody's.
    Unknown,
    /// Nothing that counts: the database knows.
    Nothing,
}

/// A credential as it was read.
#[derive(Debug)]
pub(crate) struct Known {
    /// The credential.
    pub(crate) caller: Caller,
    since: Since,
    /// The minute of the last use that was noted.
    noted: AtomicI64,
}

impl Known {
    /// How old it is at the most.
    pub(crate) const fn since(&self) -> Since {
        self.since
    }

    /// Whether a use at `now` should be noted in the database; says so once a minute.
    pub(crate) fn note(&self, now: OffsetDateTime) -> bool {
        let minute = now.unix_timestamp().div_euclid(60);
        // The plain look comes first: it leaves the line of memory where all can read it.
        self.noted.load(Ordering::Relaxed) < minute
            && self.noted.fetch_max(minute, Ordering::Relaxed) < minute
    }
}

/// How old what was read is at the most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since {
    /// How often all has been forgotten before.
    era: u64,
    revision: u64,
}

/// The memory of one process.
#[derive(Debug)]
pub(crate) struct CredentialCache {
    known: Cache<[u8; 32], Arc<Known>>,
    unknown: Cache<[u8; 32], Since>,
    feed: RwLock<Feed>,
}

/// What is known of changes.
#[derive(Debug, Default)]
struct Feed {
    /// How often all has been forgotten.
    era: u64,
    /// When the log was last asked with success.
    asked: Option<Moment>,
    /// No answer counts to a question that was asked before.
    distrusted: Option<Instant>,
    /// The newest revision that has been heard of.
    seen: u64,
    /// Nothing that was read before this revision counts.
    floor: u64,
    /// The revisions at which keys and partners last changed.
    changed: HashMap<Ulid, u64>,
    /// The revision at which any of the admin keys last changed.
    admins: u64,
}

impl Feed {
    fn newest_change(&self, caller: &Caller) -> u64 {
        let of = |id: Ulid| self.changed.get(&id).copied().unwrap_or_default();
        match caller {
            Caller::Admin(_) => self.admins,
            Caller::Partner(held) => of(held.key.id.ulid()).max(of(held.partner.id.ulid())),
        }
    }
}

impl Default for CredentialCache {
    fn default() -> Self {
        Self::with_room(KNOWN)
    }
}

impl CredentialCache {
    /// A memory for this many credentials.
    fn with_room(known: usize) -> Self {
        Self {
            known: Cache::new(known),
            unknown: Cache::new(UNKNOWN.min(known)),
            feed: RwLock::default(),
        }
    }

    /// What is remembered of a digest and counts at `now`.
    pub(crate) fn recall(&self, digest: &KeyDigest, now: Moment) -> CacheLookup {
        let feed = self.feed.read();
        if !feed.asked.is_some_and(|asked| now.is_within_term_of(asked)) {
            return CacheLookup::Nothing;
        }
        let counts = |since: Since, change: u64| {
            since.era == feed.era && since.revision >= feed.floor && since.revision >= change
        };
        if let Some(known) = self.known.get(digest.as_bytes()) {
            if counts(known.since, feed.newest_change(&known.caller)) {
                return CacheLookup::Known(known);
            }
        } else if let Some(since) = self.unknown.get(digest.as_bytes())
            // Only an admin's key may be presented before it is there: the operator's own string.
            && counts(since, feed.admins)
        {
            return CacheLookup::Unknown;
        }
        CacheLookup::Nothing
    }

    /// Whether what is remembered counts at all at `now`.
    pub(crate) fn is_fresh(&self, now: Moment) -> bool {
        let asked = self.feed.read().asked;
        asked.is_some_and(|asked| now.is_within_term_of(asked))
    }

    /// Whether a credential that was read as long ago still is as it was then.
    pub(crate) fn still_counts(&self, caller: &Caller, since: Since, now: Moment) -> bool {
        let feed = self.feed.read();
        feed.asked.is_some_and(|asked| now.is_within_term_of(asked))
            && since.era == feed.era
            && since.revision >= feed.floor
            && since.revision >= feed.newest_change(caller)
    }

    /// How old what is read from now on is at the most: as old as the newest change that has been heard
    /// of. It is asked for before anything is read.
    pub(crate) fn about_to_read(&self) -> Since {
        let feed = self.feed.read();
        Since {
            era: feed.era,
            revision: feed.seen,
        }
    }

    /// Remembers what was read, and how old it is at the most.
    pub(crate) fn remember(
        &self,
        digest: &KeyDigest,
        since: Since,
        caller: Option<Caller>,
    ) -> Option<Arc<Known>> {
        let Some(caller) = caller else {
            self.unknown.insert(*digest.as_bytes(), since);
            return None;
        };
        let noted = match &caller {
            Caller::Admin(_) => None,
            Caller::Partner(held) => held.key.last_used_at,
        };
        let noted = noted.map_or(i64::MIN, |at| at.unix_timestamp().div_euclid(60));
        let known = Arc::new(Known {
            caller,
            since,
            noted: AtomicI64::new(noted),
        });
        self.known.insert(*digest.as_bytes(), Arc::clone(&known));
        Some(known)
    }

    /// From which revision on changes are to be asked for.
    pub(crate) fn seen(&self) -> u64 {
        self.feed.read().seen
    }

    /// Takes note of changes that were asked for at `asked`.
    pub(crate) fn apply(&self, asked: Moment, changes: Changes) {
        let mut feed = self.feed.write();
        match changes.changed {
            None => {
                // The database may be an older one, put back: its revisions say nothing of ours.
                self.known.clear();
                self.unknown.clear();
                *feed = Feed {
                    era: feed.era + 1,
                    seen: changes.revision,
                    distrusted: feed.distrusted,
                    ..Feed::default()
                };
            }
            Some(changed) => {
                for (revision, changed) in changed {
                    feed.note(revision, changed);
                }
                feed.seen = feed.seen.max(changes.revision);
                feed.forget();
            }
        }
        let newer = feed.asked.is_none_or(|before| before.steady < asked.steady);
        let trusted = feed.distrusted.is_none_or(|since| since < asked.steady);
        if newer && trusted {
            feed.asked = Some(asked);
        }
    }

    /// Trusts nothing until the log of changes has been asked again: an answer to a question that was
    /// asked before this call changes nothing of that.
    pub(crate) fn distrust(&self) {
        let mut feed = self.feed.write();
        feed.asked = None;
        feed.distrusted = Some(Instant::now());
    }
}

impl Feed {
    fn note(&mut self, revision: u64, changed: Changed) {
        let last = match changed {
            Changed::Key(id) => self.changed.entry(id.ulid()).or_default(),
            Changed::Partner(id) => self.changed.entry(id.ulid()).or_default(),
            Changed::AdminKeys => &mut self.admins,
        };
        *last = revision.max(*last);
    }

    /// Keeps the notes bounded: in place of many old ones stands one floor.
    fn forget(&mut self) {
        let kept = usize::try_from(CHANGES_KEPT).unwrap_or(usize::MAX);
        if self.changed.len() > kept.saturating_mul(2) {
            let floor = self.seen.saturating_sub(CHANGES_KEPT);
            self.changed.retain(|_, revision| *revision > floor);
            self.floor = self.floor.max(floor);
        }
    }
}
