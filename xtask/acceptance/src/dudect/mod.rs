//! Whether the time of a comparison tells where two digests differ.
//!
//! Each sample is one batch of comparisons of one pair. The pair is equal or differs, drawn at random
//! and written into the same place by the same instructions, so that only its value can show.

mod welch;

use std::{hint::black_box, time::Instant};

use keys::KeyDigest;
use rand_core::Rng as _;
use testkit::random::SeededRandom;

use self::welch::{Sample, largest_t};

/// From here on a leak is certain enough to act on, says the paper.
const THRESHOLD: f64 = 4.5;
/// How many comparisons are timed at once: one alone is shorter than the clock can tell.
const BATCH: usize = 64;
/// Long enough for `==` to show where it stopped.
const LONG: usize = 4096;

/// What `dudect` is asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many samples to take of each comparison.
    #[arg(long, default_value_t = 1_000_000)]
    samples: usize,
    /// The same seed takes the same pairs in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Times our comparison, then ones that leak, and prints the largest |t| of each.
pub(crate) fn run(args: &Args) -> bool {
    println!("samples: {}, batches of {BATCH}", args.samples);
    let digests = |a: &[u8; 32], b: &[u8; 32]| {
        black_box(&KeyDigest::from_bytes(*a)) == black_box(&KeyDigest::from_bytes(*b))
    };
    let first = tested(
        "digests, equal or other in the first byte",
        args,
        0,
        digests,
    );
    let last = tested(
        "digests, equal or other in the last byte",
        args,
        31,
        digests,
    );
    let early = tested(
        "control: a loop over 32 bytes that stops early",
        args,
        0,
        |a: &[u8; 32], b| a.iter().zip(b).all(|(a, b)| a == b),
    );
    let slices = tested(
        "control: == on slices of 4096 bytes",
        args,
        0,
        |a: &[u8; LONG], b| a.as_slice() == b.as_slice(),
    );
    if early.min(slices) < THRESHOLD {
        println!("a control shows no leak, so this run says nothing");
        return false;
    }
    first.max(last) < THRESHOLD
}

fn tested<const N: usize>(
    what: &str,
    args: &Args,
    place: usize,
    equal: impl Fn(&[u8; N], &[u8; N]) -> bool,
) -> f64 {
    let largest = largest_t(&samples(args, place, equal));
    println!("{what}: max |t| = {largest:.2}");
    largest
}

fn samples<const N: usize>(
    args: &Args,
    place: usize,
    equal: impl Fn(&[u8; N], &[u8; N]) -> bool,
) -> Vec<Sample> {
    let mut random = SeededRandom::new(args.seed);
    let mut one = [0; N];
    let mut other = [0; N];
    let mut samples = Vec::with_capacity(args.samples);
    for _ in 0..args.samples {
        for chunk in one.chunks_mut(8) {
            for (to, from) in chunk.iter_mut().zip(random.next_u64().to_le_bytes()) {
                *to = from;
            }
        }
        let differ = random.next_u64() & 1 == 1;
        other.copy_from_slice(&one);
        if let Some(byte) = other.get_mut(place) {
            *byte ^= u8::from(black_box(differ));
        }
        let (one, other) = (black_box(&one), black_box(&other));
        let start = Instant::now();
        for _ in 0..BATCH {
            black_box(equal(black_box(one), black_box(other)));
        }
        let nanos = u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX);
        samples.push(Sample { differ, nanos });
    }
    samples
}
