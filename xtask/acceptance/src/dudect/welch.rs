//! Welch's t-test over two classes of times, after Reparaz, Balasch and Verbauwhede, "Dude, is my code
//! constant time?" (2017): the tail of long times is cropped at many places, and the largest |t| counts.

/// How many places to crop at.
const CROPS: i32 = 100;
/// Fewer samples in a class than this say nothing.
const MIN_SAMPLES: f64 = 10_000.0;

/// One timed run.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Whether the inputs differed.
    pub(crate) differ: bool,
    /// How long it took, in nanoseconds.
    pub(crate) nanos: u32,
}

/// The mean and the spread of one class, by Welford's method.
#[derive(Clone, Copy, Default)]
struct Class {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Class {
    fn push(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn variance(self) -> f64 {
        self.squares / (self.count - 1.0)
    }
}

/// The largest |t| of the test over all samples and over those below each crop.
pub(crate) fn largest_t(samples: &[Sample]) -> f64 {
    let mut sorted: Vec<u32> = samples.iter().map(|sample| sample.nanos).collect();
    sorted.sort_unstable();
    let mut crops: Vec<u32> = (1..=CROPS)
        .filter_map(|n| sorted.get(rank(n, sorted.len())).copied())
        .collect();
    crops.push(u32::MAX);
    crops.dedup();
    crops
        .into_iter()
        .filter_map(|crop| t(samples.iter().filter(|sample| sample.nanos <= crop)))
        .fold(0.0, |largest, t| largest.max(t.abs()))
}

/// The place of the n-th crop among `count` sorted times: the crops lie closer towards the end.
fn rank(n: i32, count: usize) -> usize {
    let kept = 1.0 - 0.5_f64.powf(10.0 * f64::from(n) / f64::from(CROPS));
    #[expect(
        clippy::as_conversions,
        reason = "a share of a length is a length, and rounding is harmless"
    )]
    let rank = (kept * count as f64) as usize;
    rank
}

fn t<'a>(samples: impl Iterator<Item = &'a Sample>) -> Option<f64> {
    let mut equal = Class::default();
    let mut differ = Class::default();
    for sample in samples {
        let class = if sample.differ {
            &mut differ
        } else {
            &mut equal
        };
        class.push(f64::from(sample.nanos));
    }
    if equal.count < MIN_SAMPLES || differ.count < MIN_SAMPLES {
        return None;
    }
    let spread = equal.variance() / equal.count + differ.variance() / differ.count;
    if spread > 0.0 {
        Some((equal.mean - differ.mean) / spread.sqrt())
    } else if equal.mean == differ.mean {
        Some(0.0)
    } else {
        Some(f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use rand_core::Rng as _;
    use testkit::random::SeededRandom;

    use super::*;

    /// Times of 100 to 131 ns, those that differ longer by `more`.
    fn samples(more: u32) -> Vec<Sample> {
        let mut random = SeededRandom::new(7);
        (0..60_000)
            .map(|_| {
                let bits = random.next_u64();
                let differ = bits & 1 == 1;
                let noise = u32::try_from(bits >> 59).unwrap();
                let nanos = 100 + noise + if differ { more } else { 0 };
                Sample { differ, nanos }
            })
            .collect()
    }

    #[test]
    fn a_difference_of_one_nanosecond_is_seen() {
        assert!(largest_t(&samples(0)) < 4.5);
        assert!(largest_t(&samples(1)) > 4.5);
    }

    #[test]
    fn the_statistic_is_that_of_the_book() {
        // Means 2 and 4, variances 1 and 4 with 3 samples each would be t = -2/sqrt(5/3).
        let mut one = Class::default();
        let mut two = Class::default();
        for (a, b) in [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)] {
            one.push(a);
            two.push(b);
        }
        assert!((one.mean - 2.0).abs() < 1e-12 && (one.variance() - 1.0).abs() < 1e-12);
        assert!((two.mean - 4.0).abs() < 1e-12 && (two.variance() - 4.0).abs() < 1e-12);
    }
}
