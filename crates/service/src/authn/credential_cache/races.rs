//! Races of fills, changes and requests, in the orders that the scheduler of `shuttle` finds.

/// The lock of the credentials, as the scheduler sees it.
pub(super) mod sync {
    /// The same as `parking_lot`'s.
    #[derive(Debug, Default)]
    pub(in super::super) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(in super::super) fn read(&self) -> shuttle::sync::RwLockReadGuard<'_, T> {
            self.0.read().unwrap()
        }

        pub(in super::super) fn write(&self) -> shuttle::sync::RwLockWriteGuard<'_, T> {
            self.0.write().unwrap()
        }
    }
}

use keys::KeyWithPartner;
use shuttle::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};
use testkit::{build::Build, clock::START};
use time::Duration;

use super::*;

/// A database of one key: its revision, what is logged, and the key as it is.
struct Database {
    log: Vec<(u64, Changed)>,
    held: KeyWithPartner,
}

impl Database {
    fn changes(&self, since: u64) -> Changes {
        let newest = self.log.last().map_or(0, |last| last.0);
        let logged = self.log.iter().filter(|change| change.0 > since);
        Changes::since(since, newest, logged.copied().collect())
    }
}

struct Process {
    credentials: CredentialCache,
    digest: KeyDigest,
}

impl Process {
    fn follow(&self, database: &Mutex<Database>) {
        self.follow_asked(database, moment());
    }

    fn follow_asked(&self, database: &Mutex<Database>, asked: ClockReading) {
        let newest = self.credentials.newest_revision();
        let changes = database.lock().unwrap().changes(newest);
        self.credentials.apply(asked, changes);
    }

    /// What a request finds: in the cache, else in the database, and then cached.
    fn call(&self, database: &Mutex<Database>) -> Caller {
        self.call_at(database, moment())
    }

    fn call_at(&self, database: &Mutex<Database>, now: ClockReading) -> Caller {
        if let CacheLookup::Hit(known) = self.credentials.get(&self.digest, now) {
            return known.caller.clone();
        }
        let version = self.credentials.read_version();
        let held = database.lock().unwrap().held.clone();
        let found = Credential::from(Caller::Partner(std::sync::Arc::new(held)));
        let known = self.credentials.insert(&self.digest, version, Some(found));
        known.unwrap().caller.clone()
    }
}

fn moment() -> ClockReading {
    moment_after(Duration::ZERO)
}

fn moment_after(passed: Duration) -> ClockReading {
    ClockReading {
        monotonic: *STEADY + passed.unsigned_abs(),
        wall: START + passed,
    }
}

static STEADY: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

fn is_revoked(caller: &Caller) -> bool {
    match caller {
        Caller::Partner(held) => held.key.revoked_at.is_some(),
        Caller::Admin(_) => false,
    }
}

/// One process answers a change and calls; another only follows. `change` is made once.
fn race(change: fn(&mut Database), done: fn(&Caller) -> bool) {
    let build = Build::new();
    let partner = build.partner();
    let held = KeyWithPartner {
        key: build.key(&partner),
        partner,
    };
    let digest = build.digest();
    let database = Arc::new(Mutex::new(Database {
        log: Vec::new(),
        held,
    }));
    let process = || {
        let credentials = CredentialCache::with_capacity(16);
        let process = Process {
            credentials,
            digest,
        };
        process.follow(&database);
        Arc::new(process)
    };
    let (here, elsewhere) = (process(), process());
    let answered = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for _ in 0..2 {
        let (here, database, answered) = (here.clone(), database.clone(), answered.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                let after = answered.load(SeqCst);
                let caller = here.call(&database);
                assert!(!after || done(&caller), "a stale credential was accepted");
            }
        }));
    }
    for process in [&here, &elsewhere] {
        let (process, database) = (process.clone(), database.clone());
        threads.push(thread::spawn(move || process.follow(&database)));
    }
    let there = {
        let (elsewhere, database) = (elsewhere.clone(), database.clone());
        thread::spawn(move || drop(elsewhere.call(&database)))
    };
    change(&mut database.lock().unwrap());
    here.follow(&database);
    answered.store(true, SeqCst);
    for thread in threads {
        thread.join().unwrap();
    }
    there.join().unwrap();
    // The other process has followed since the change, at the latest now.
    elsewhere.follow(&database);
    assert!(done(&elsewhere.call(&database)));
    assert!(done(&here.call(&database)));
}

#[test]
fn no_call_after_an_answered_revocation_is_accepted() {
    let revoke = |database: &mut Database| {
        database.held.key.revoked_at = Some(START);
        let id = database.held.key.id;
        database.log.push((1, Changed::Key(id)));
    };
    shuttle::check_random(move || race(revoke, is_revoked), 3000);
    shuttle::check_pct(move || race(revoke, is_revoked), 1000, 4);
}

/// An instance confirms the revision that it has applied. Whoever has seen the confirmation of all may say that
/// the key is refused everywhere.
#[test]
fn no_call_after_a_confirmed_revocation_is_accepted_anywhere() {
    shuttle::check_random(confirmed_revocation, 3000);
    shuttle::check_pct(confirmed_revocation, 1000, 4);
}

fn confirmed_revocation() {
    let build = Build::new();
    let partner = build.partner();
    let held = KeyWithPartner {
        key: build.key(&partner),
        partner,
    };
    let (digest, id) = (build.digest(), held.key.id);
    let database = Arc::new(Mutex::new(Database {
        log: Vec::new(),
        held,
    }));
    let reports = Arc::new(Mutex::new([0; 2]));
    let is_confirmed = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for instance in 0..2 {
        let process = Arc::new(Process {
            credentials: CredentialCache::with_capacity(16),
            digest,
        });
        process.follow(&database);
        let (caller, log, confirmed) = (process.clone(), database.clone(), is_confirmed.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..3 {
                let after = confirmed.load(SeqCst);
                let caller = caller.call(&log);
                assert!(!after || is_revoked(&caller), "a revoked key was accepted");
            }
        }));
        let (database, reports) = (database.clone(), reports.clone());
        threads.push(thread::spawn(move || {
            for _ in 0..2 {
                process.follow(&database);
                let revision = process.credentials.newest_revision();
                reports.lock().unwrap()[instance] = revision;
            }
        }));
    }
    {
        let mut database = database.lock().unwrap();
        database.held.key.revoked_at = Some(START);
        database.log.push((1, Changed::Key(id)));
    }
    for _ in 0..3 {
        if *reports.lock().unwrap() == [1, 1] {
            is_confirmed.store(true, SeqCst);
        }
        thread::yield_now();
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Whoever waits for confirmations goes on without an instance whose last report is older than
/// [`instances::LIVE_FOR`]. It may be paused and go on later, but has nothing left that it trusts.
#[test]
fn a_dead_instance_accepts_no_key_that_was_revoked_meanwhile() {
    shuttle::check_random(death, 3000);
    shuttle::check_pct(death, 1000, 4);
}

fn death() {
    let build = Build::new();
    let partner = build.partner();
    let held = KeyWithPartner {
        key: build.key(&partner),
        partner,
    };
    let (digest, id) = (build.digest(), held.key.id);
    let database = Arc::new(Mutex::new(Database {
        log: Vec::new(),
        held,
    }));
    let process = Arc::new(Process {
        credentials: CredentialCache::with_capacity(16),
        digest,
    });
    let seconds = Arc::new(AtomicU64::new(0));
    // When it has reported, in seconds, and the revision.
    let report = Arc::new(Mutex::new((0, 0)));
    let is_over = Arc::new(AtomicBool::new(false));
    let now = |seconds: &AtomicU64| {
        let passed = i64::try_from(seconds.load(SeqCst)).unwrap();
        moment_after(Duration::seconds(passed))
    };
    process.follow(&database);
    drop(process.call(&database));
    let reporting = {
        let (process, database) = (process.clone(), database.clone());
        let (seconds, report) = (seconds.clone(), report.clone());
        thread::spawn(move || {
            for _ in 0..2 {
                // It may be paused behind each of these lines.
                process.follow_asked(&database, now(&seconds));
                let revision = process.credentials.newest_revision();
                *report.lock().unwrap() = (seconds.load(SeqCst), revision);
            }
        })
    };
    let calling = {
        let (database, seconds, is_over) = (database.clone(), seconds.clone(), is_over.clone());
        thread::spawn(move || {
            for _ in 0..4 {
                let after = is_over.load(SeqCst);
                let caller = process.call_at(&database, now(&seconds));
                assert!(!after || is_revoked(&caller), "a revoked key was accepted");
            }
        })
    };
    {
        let mut database = database.lock().unwrap();
        database.held.key.revoked_at = Some(START);
        database.log.push((1, Changed::Key(id)));
    }
    let live_for = u64::try_from(instances::LIVE_FOR.whole_seconds()).unwrap();
    for _ in 0..=live_for {
        let (reported, revision) = *report.lock().unwrap();
        if revision == 1 || reported + live_for < seconds.load(SeqCst) {
            is_over.store(true, SeqCst);
        }
        seconds.fetch_add(1, SeqCst);
        thread::yield_now();
    }
    for thread in [reporting, calling] {
        thread.join().unwrap();
    }
}

#[test]
fn no_call_after_an_answered_change_of_the_partner_sees_it_as_it_was() {
    let change = |database: &mut Database| {
        database.held.partner.plan = keys::PartnerPlan::Free;
        let id = database.held.partner.id;
        database.log.push((1, Changed::Partner(id)));
    };
    let is_free = |caller: &Caller| match caller {
        Caller::Partner(held) => held.partner.plan == keys::PartnerPlan::Free,
        Caller::Admin(_) => false,
    };
    shuttle::check_random(move || race(change, is_free), 2000);
}

#[test]
fn what_was_read_before_a_backup_was_put_back_is_not_valid() {
    // The backup does not know of the revision under which the key was remembered.
    let put_back = |database: &mut Database| {
        database.held.key.revoked_at = Some(START);
        database.log.clear();
    };
    shuttle::check_random(
        move || {
            let build = Build::new();
            let partner = build.partner();
            let held = KeyWithPartner {
                key: build.key(&partner),
                partner,
            };
            let id = held.key.id;
            let database = Mutex::new(Database {
                log: vec![(1, Changed::Key(id))],
                held,
            });
            let process = Process {
                credentials: CredentialCache::with_capacity(16),
                digest: build.digest(),
            };
            process.follow(&database);
            drop(process.call(&database));
            put_back(&mut database.lock().unwrap());
            process.follow(&database);
            assert!(is_revoked(&process.call(&database)));
        },
        10,
    );
}

#[test]
fn no_entry_is_valid_past_its_ttl_or_after_invalidate_all() {
    shuttle::check_random(
        || {
            let build = Build::new();
            let partner = build.partner();
            let held = KeyWithPartner {
                key: build.key(&partner),
                partner,
            };
            let digest = build.digest();
            let credentials = CredentialCache::with_capacity(16);
            let found = Credential::from(Caller::Partner(std::sync::Arc::new(held)));
            credentials.insert(&digest, credentials.read_version(), Some(found));
            let hits = |after: Duration, slept: Duration| {
                let now = ClockReading {
                    monotonic: *STEADY + std::time::Duration::try_from(after).unwrap(),
                    wall: START + after + slept,
                };
                matches!(credentials.get(&digest, now), CacheLookup::Hit(_))
            };
            assert!(!hits(Duration::ZERO, Duration::ZERO));
            let nothing = Changes::since(0, 0, Vec::new());
            credentials.apply(moment(), nothing.clone());
            assert!(hits(Duration::ZERO, Duration::ZERO));
            assert!(hits(TTL - Duration::MILLISECOND, Duration::ZERO));
            assert!(!hits(TTL, Duration::ZERO));
            assert!(!hits(Duration::ZERO, TTL), "the machine slept");
            credentials.invalidate_all();
            assert!(!hits(Duration::ZERO, Duration::ZERO));
            // The answer to a question that was on its way already.
            credentials.apply(moment(), nothing.clone());
            assert!(!hits(Duration::ZERO, Duration::ZERO));
            let later = ClockReading {
                monotonic: Instant::now() + std::time::Duration::from_millis(1),
                wall: START,
            };
            credentials.apply(later, nothing);
            assert!(hits(Duration::ZERO, Duration::ZERO));
        },
        1,
    );
}
