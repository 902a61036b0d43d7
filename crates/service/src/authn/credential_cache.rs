//! Credential cache. Entries are valid for two seconds from the last good answer of the log of changes.
//!
//! Every entry carries the revision of keys that was known before it was read, and is valid only while no
//! later change of its key or its partner is known. So a fill that races a revocation needs no lock: the
//! entry that it leaves behind is not valid.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration as StdDuration,
};

use ids::{TypedId as _, Ulid};
use keys::{AdminKey, Changed, Changes, FoundKey, KeyDigest, MIN_CHANGES_KEPT, UsedSecret};
use quick_cache::sync::Cache;
use time::OffsetDateTime;
use tokio::time::Instant;

use self::{sync::RwLock, validity::Reported};
use crate::Caller;

pub(crate) use self::validity::{ClockReading, TTL};

#[cfg(test)]
mod races;
mod validity;
#[cfg(not(test))]
mod sync {
    pub(super) use parking_lot::RwLock;
}
#[cfg(test)]
use self::races::sync;

const MAX_CREDENTIALS: usize = 200_000;
/// How many digests are kept that belong to no credential.
const MAX_UNKNOWN: usize = 100_000;

/// What the cache has of a digest.
#[derive(Debug)]
pub(crate) enum CacheLookup {
    Hit(Arc<CachedCredential>),
    /// The digest belongs to no credential.
    UnknownKey,
    /// Nothing valid: the database must be asked.
    Miss,
}

/// What a digest belongs to: a credential, and which secret of a partner key it is.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) caller: Caller,
    pub(crate) secret: Option<UsedSecret>,
}

impl From<FoundKey> for Credential {
    fn from(found: FoundKey) -> Self {
        Self {
            caller: Caller::Partner(Arc::new(found.held)),
            secret: Some(found.secret),
        }
    }
}

impl From<AdminKey> for Credential {
    fn from(key: AdminKey) -> Self {
        Self::from(Caller::Admin(Arc::new(key)))
    }
}

/// A credential of which it does not matter which secret was used.
impl From<Caller> for Credential {
    fn from(caller: Caller) -> Self {
        let secret = None;
        Self { caller, secret }
    }
}

/// A credential as it was read.
#[derive(Debug)]
pub(crate) struct CachedCredential {
    pub(crate) caller: Caller,
    /// The secret that the digest is of. It may have ended, or end while it is cached.
    pub(crate) secret: Option<UsedSecret>,
    version: ReadVersion,
    /// The minute of the last use that was recorded.
    recorded_minute: AtomicI64,
}

impl CachedCredential {
    pub(crate) const fn version(&self) -> ReadVersion {
        self.version
    }

    /// Whether a use at `now` is to be recorded in the database; true once a minute.
    pub(crate) fn should_record_use(&self, now: OffsetDateTime) -> bool {
        let minute = now.unix_timestamp().div_euclid(60);
        // The plain load comes first: it leaves the cache line where all cores can read it.
        self.recorded_minute.load(Ordering::Relaxed) < minute
            && self.recorded_minute.fetch_max(minute, Ordering::Relaxed) < minute
    }
}

/// The newest revision of keys that was known before something was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadVersion {
    /// Counts how often the whole cache was dropped; revisions of different generations can't be compared.
    generation: u64,
    revision: u64,
}

/// The credential cache of one process.
#[derive(Debug)]
pub(crate) struct CredentialCache {
    credentials: Cache<[u8; 32], Arc<CachedCredential>>,
    unknown: Cache<[u8; 32], ReadVersion>,
    changes: RwLock<KnownChanges>,
    misses: AtomicU64,
}

/// What is known of changes.
#[derive(Debug, Default)]
struct KnownChanges {
    generation: u64,
    /// When the log of changes was last asked with success.
    checked_at: Option<ClockReading>,
    /// Answers to queries that began before this do not make entries valid again.
    invalidated_at: Option<Instant>,
    reported: Reported,
    newest_revision: u64,
    /// Entries that were read before this revision are not valid.
    min_version: u64,
    /// The revisions at which keys and partners last changed.
    last_change: HashMap<Ulid, u64>,
    /// The revision at which any of the admin keys last changed.
    last_admin_change: u64,
}

impl KnownChanges {
    fn is_fresh(&self, now: ClockReading) -> bool {
        self.checked_at
            .is_some_and(|checked_at| now.is_within(TTL, checked_at))
            && self.reported.is_valid(now)
    }

    fn invalidate(&mut self, now: Instant) {
        self.checked_at = None;
        self.invalidated_at = Some(now);
    }

    fn last_change_of(&self, caller: &Caller) -> u64 {
        let of = |id: Ulid| self.last_change.get(&id).copied().unwrap_or_default();
        match caller {
            Caller::Admin(_) => self.last_admin_change,
            Caller::Partner(held) => of(held.key.id.ulid()).max(of(held.partner.id.ulid())),
        }
    }

    /// Whether what was read at `version` is still as it was, when its last known change is `last_change`.
    const fn is_current(&self, version: ReadVersion, last_change: u64) -> bool {
        version.generation == self.generation
            && version.revision >= self.min_version
            && version.revision >= last_change
    }
}

impl Default for CredentialCache {
    fn default() -> Self {
        Self::with_capacity(MAX_CREDENTIALS)
    }
}

impl CredentialCache {
    fn with_capacity(credentials: usize) -> Self {
        Self {
            credentials: Cache::new(credentials),
            unknown: Cache::new(MAX_UNKNOWN.min(credentials)),
            changes: RwLock::default(),
            misses: AtomicU64::new(0),
        }
    }

    /// How often nothing valid was found.
    pub(crate) fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// What is cached of a digest and valid at `now`.
    pub(crate) fn get(&self, digest: &KeyDigest, now: ClockReading) -> CacheLookup {
        let found = self.find(digest, now);
        if matches!(found, CacheLookup::Miss) {
            self.misses.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    fn find(&self, digest: &KeyDigest, now: ClockReading) -> CacheLookup {
        let changes = self.changes.read();
        if !changes.is_fresh(now) {
            return CacheLookup::Miss;
        }
        if let Some(cached) = self.credentials.get(digest.as_bytes()) {
            if changes.is_current(cached.version, changes.last_change_of(&cached.caller)) {
                return CacheLookup::Hit(cached);
            }
        } else if let Some(version) = self.unknown.get(digest.as_bytes())
            // Only an admin's key may be used before it exists: the operator's own string.
            && changes.is_current(version, changes.last_admin_change)
        {
            return CacheLookup::UnknownKey;
        }
        CacheLookup::Miss
    }

    /// Whether entries can be valid at all at `now`.
    pub(crate) fn is_fresh(&self, now: ClockReading) -> bool {
        self.changes.read().is_fresh(now)
    }

    /// Whether a credential that was read at `version` is still as it was.
    pub(crate) fn is_current(
        &self,
        caller: &Caller,
        version: ReadVersion,
        now: ClockReading,
    ) -> bool {
        let changes = self.changes.read();
        changes.is_fresh(now) && changes.is_current(version, changes.last_change_of(caller))
    }

    /// The version of what is read from now on. It must be taken before the read begins.
    pub(crate) fn read_version(&self) -> ReadVersion {
        let changes = self.changes.read();
        ReadVersion {
            generation: changes.generation,
            revision: changes.newest_revision,
        }
    }

    /// Caches what was read; `None` stands for a digest that belongs to no credential.
    pub(crate) fn insert(
        &self,
        digest: &KeyDigest,
        version: ReadVersion,
        found: Option<Credential>,
    ) -> Option<Arc<CachedCredential>> {
        let Some(Credential { caller, secret }) = found else {
            self.unknown.insert(*digest.as_bytes(), version);
            return None;
        };
        let last_used_at = match (&caller, &secret) {
            (Caller::Partner(held), Some(secret)) => held.key.last_use_of(secret),
            (Caller::Partner(held), None) => held.key.last_used_at,
            (Caller::Admin(_), _) => None,
        };
        let minute = last_used_at.map_or(i64::MIN, |at| at.unix_timestamp().div_euclid(60));
        let cached = Arc::new(CachedCredential {
            caller,
            secret,
            version,
            recorded_minute: AtomicI64::new(minute),
        });
        self.credentials
            .insert(*digest.as_bytes(), Arc::clone(&cached));
        Some(cached)
    }

    /// The revision from which on changes are to be asked for.
    pub(crate) fn newest_revision(&self) -> u64 {
        self.changes.read().newest_revision
    }

    /// Drops what has changed. `checked_at` is when the database was asked.
    pub(crate) fn apply(&self, checked_at: ClockReading, changes: Changes) {
        let mut known = self.changes.write();
        match changes.changed {
            None => {
                // The database may be a backup that was put back: its revisions can't be compared with ours.
                self.credentials.clear();
                self.unknown.clear();
                *known = KnownChanges {
                    generation: known.generation + 1,
                    newest_revision: changes.revision,
                    invalidated_at: known.invalidated_at,
                    reported: known.reported,
                    ..KnownChanges::default()
                };
            }
            Some(changed) => {
                for (revision, changed) in changed {
                    known.record(revision, changed);
                }
                known.newest_revision = known.newest_revision.max(changes.revision);
                known.prune();
            }
        }
        let is_newer = known
            .checked_at
            .is_none_or(|before| before.monotonic < checked_at.monotonic);
        let is_valid = known
            .invalidated_at
            .is_none_or(|at| at < checked_at.monotonic);
        if is_newer && is_valid {
            known.checked_at = Some(checked_at);
        }
    }

    /// Makes all entries invalid until the log of changes has been asked again. The answer to a query that is
    /// on its way already changes nothing of that.
    pub(crate) fn invalidate_all(&self) {
        self.changes.write().invalidate(Instant::now());
    }

    /// Has entries be valid only while this process reports as an instance.
    pub(crate) fn require_reports(&self) {
        self.changes.write().reported = Reported::Never;
    }

    /// Notes a report that was sent at `sent` and has succeeded. After a pause in which the others may have
    /// passed over this instance, entries become valid only once the log of changes has been asked again.
    pub(crate) fn reported(&self, sent: ClockReading, now: ClockReading) {
        let mut known = self.changes.write();
        if !known.reported.is_valid(now) {
            known.invalidate(now.monotonic);
        }
        known.reported = Reported::At(sent);
    }

    /// How long ago the log of changes was last asked with success.
    pub(crate) fn age(&self, now: ClockReading) -> Option<StdDuration> {
        let checked_at = self.changes.read().checked_at?;
        Some(
            now.monotonic
                .saturating_duration_since(checked_at.monotonic),
        )
    }
}

impl KnownChanges {
    fn record(&mut self, revision: u64, changed: Changed) {
        let last = match changed {
            Changed::Key(id) => self.last_change.entry(id.ulid()).or_default(),
            Changed::Partner(id) => self.last_change.entry(id.ulid()).or_default(),
            Changed::AdminKeys => &mut self.last_admin_change,
        };
        *last = revision.max(*last);
    }

    /// Keeps the map bounded: one minimum stands for many old changes.
    fn prune(&mut self) {
        let kept = usize::try_from(MIN_CHANGES_KEPT).unwrap_or(usize::MAX);
        if self.last_change.len() > kept.saturating_mul(2) {
            let min_version = self.newest_revision.saturating_sub(MIN_CHANGES_KEPT);
            self.last_change
                .retain(|_, revision| *revision > min_version);
            self.min_version = self.min_version.max(min_version);
        }
    }
}
