//! Leases that are taken, filled and collected at the same time, in the orders that the scheduler of
//! `shuttle` finds.

/// The lock of a shard, as the scheduler sees it.
pub(super) mod sync {
    /// The same as `parking_lot`'s.
    #[derive(Debug)]
    pub(in super::super) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(in super::super) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(in super::super) fn lock(&self) -> shuttle::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap()
        }
    }
}

use ids::{KeyId, PartnerId, TypedId as _, Ulid};
use shuttle::{
    sync::{Arc, Mutex},
    thread,
};

use super::*;

const LIMIT: RateLimit = RateLimit::literal(3000, 60);
const WIDER: RateLimit = RateLimit::literal(4000, 60);

fn key(limit: RateLimit) -> Limits {
    let partner = Subject::Partner(PartnerId::from_ulid(Ulid::from(2_u128)));
    Limits::from_slice(&[
        (Subject::Key(KeyId::from_ulid(Ulid::from(1_u128))), limit),
        (partner, LIMIT),
    ])
}

fn instances(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

/// What the server has counted, and what was done with it.
#[derive(Debug, Default)]
struct Books {
    left: u32,
    counted: u32,
    used: u32,
    given_back: u32,
}

impl Books {
    /// Counts up to so many calls, as far as the limit allows.
    fn count(&mut self, calls: u32) -> u32 {
        let calls = calls.min(self.left);
        self.left -= calls;
        self.counted += calls;
        calls
    }

    fn give_back(&mut self, unused: &[Unused]) {
        for unused in unused {
            self.given_back += unused.permits;
            self.left += unused.permits;
        }
    }
}

/// A request: whether it was allowed.
fn request(leases: &Leases, books: &Mutex<Books>, limits: &Limits) -> bool {
    let max = Leases::max_batch(limits, instances(3));
    if leases.take(limits).is_none() {
        let batch = leases.next_batch(limits, max, Duration::ZERO);
        assert!((1..=max).contains(&batch));
        let counted = books.lock().unwrap().count(batch);
        let Some(more) = counted.checked_sub(1) else {
            return false;
        };
        let unused = leases.add(limits, more, max, Duration::ZERO);
        books.lock().unwrap().give_back(&unused);
    }
    books.lock().unwrap().used += 1;
    true
}

/// Whatever the order, each permit that was counted is used once, or given back once, or still there.
fn race(limit_changes: bool) {
    let leases = Arc::new(Leases::default());
    let books = Arc::new(Mutex::new(Books {
        left: 25,
        ..Books::default()
    }));
    let mut threads = Vec::new();
    for n in 0..3 {
        let (leases, books) = (leases.clone(), books.clone());
        threads.push(thread::spawn(move || {
            for call in 0..5 {
                let wider = limit_changes && (n + call) % 3 == 0;
                request(&leases, &books, &key(if wider { WIDER } else { LIMIT }));
            }
        }));
    }
    let collector = {
        let (leases, books) = (leases.clone(), books.clone());
        thread::spawn(move || {
            for _ in 0..3 {
                let unused = leases.collect_unused();
                books.lock().unwrap().give_back(&unused);
            }
        })
    };
    for thread in threads {
        thread.join().unwrap();
    }
    collector.join().unwrap();
    let last = leases.collect_all();
    let held: u32 = last.iter().map(|unused| unused.permits).sum();
    assert!(held <= 10, "{held} permits are held");
    let mut books = books.lock().unwrap();
    books.give_back(&last);
    assert_eq!(books.counted, books.used + books.given_back);
    assert_eq!(books.left, 25 - books.used);
    assert!(books.used >= 1, "{books:?}");
    assert_eq!(leases.collect_all(), []);
}

#[test]
fn no_permit_is_used_twice_or_lost() {
    shuttle::check_random(|| race(false), 800);
    shuttle::check_pct(|| race(false), 300, 4);
}

#[test]
fn no_permit_is_used_twice_or_lost_when_the_limit_changes() {
    shuttle::check_random(|| race(true), 800);
    shuttle::check_pct(|| race(true), 300, 4);
}

/// Whatever is not about the order of things runs once.
fn once(test: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(test, 1);
}

#[test]
fn all_instances_hold_a_hundredth_of_the_smallest_limit() {
    let max = |limit: u32, count| {
        let limit = RateLimit::new(limit, 60).unwrap();
        Leases::max_batch(&key(limit), instances(count))
    };
    assert_eq!(max(600, 3), 2);
    assert_eq!(max(60, 3), 1);
    assert_eq!(max(1, 1), 1);
    assert_eq!(
        max(100_000_000, 1),
        30,
        "the partner's limit is the smaller"
    );
    let alone = [(key(LIMIT)[0].0, RateLimit::literal(100_000_000, 1))];
    assert_eq!(Leases::max_batch(&alone, instances(3)), 1000);
    assert_eq!(Leases::max_batch(&[], instances(3)), 1);
}

#[test]
fn batches_grow_while_they_are_used_up_quickly() {
    once(|| {
        let leases = Leases::default();
        let next = |millis| leases.next_batch(&key(LIMIT), 10, Duration::from_millis(millis));
        let grown: Vec<u32> = [0, 1, 2, 3, 4, 5].map(next).to_vec();
        assert_eq!(grown, [1, 2, 4, 8, 10, 10]);
        let shrunk: Vec<u32> = [1000, 2000, 3000, 4000].map(next).to_vec();
        assert_eq!(shrunk, [5, 2, 1, 1]);
    });
}

#[test]
fn unused_permits_are_collected_when_nobody_asked_for_a_while() {
    once(|| {
        let leases = Leases::default();
        assert_eq!(leases.add(&key(LIMIT), 5, 10, Duration::ZERO), []);
        assert_eq!(leases.collect_unused(), [], "they were just taken");
        assert_eq!(leases.take(&key(LIMIT)), Some(4));
        assert_eq!(leases.collect_unused(), []);
        let limits = key(LIMIT);
        assert_eq!(leases.collect_unused(), [Unused { limits, permits: 4 }]);
        assert_eq!(leases.take(&key(LIMIT)), None);
        assert_eq!(leases.collect_unused(), []);
    });
}

#[test]
fn permits_of_another_limit_and_those_beyond_the_bound_go_back() {
    once(|| {
        let leases = Leases::default();
        assert_eq!(leases.add(&key(LIMIT), 5, 10, Duration::ZERO), []);
        assert_eq!(leases.take(&key(WIDER)), None);
        let unused = |limit, permits| Unused {
            limits: key(limit),
            permits,
        };
        let back = leases.add(&key(WIDER), 13, 10, Duration::ZERO);
        assert_eq!(back, [unused(LIMIT, 5), unused(WIDER, 3)]);
        assert_eq!(leases.take(&key(WIDER)), Some(9));
    });
}
