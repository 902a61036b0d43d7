//! Random numbers that are the same in every run.

use std::{convert::Infallible, time::Duration};

use rand_core::{TryCryptoRng, TryRng};

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): well mixed and wholly predictable.
///
/// It says of itself that it is fit for secrets, since the code under test asks for that; it is not.
/// A clone goes on with the same numbers.
#[derive(Clone, Debug)]
pub struct SeededRandom(u64);

impl SeededRandom {
    /// The numbers that belong to this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The numbers of a seed for one of many that share it, such as a thread.
    #[must_use]
    pub const fn stream(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed ^ stream.rotate_left(32));
        Self(mixed.number())
    }

    /// A number below `end`, or 0 below 1.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.number() % end).unwrap_or(0)
    }

    /// A time from `least` to `most` milliseconds.
    pub const fn millis(&mut self, least: u64, most: u64) -> Duration {
        let more = self.number() % most.saturating_sub(least).saturating_add(1);
        Duration::from_micros(least.saturating_add(more) * 1000 + self.number() % 1000)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl TryRng for SeededRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let [a, b, c, d, ..] = self.number().to_le_bytes();
        Ok(u32::from_le_bytes([a, b, c, d]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.number())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            for (byte, random) in chunk.iter_mut().zip(self.number().to_le_bytes()) {
                *byte = random;
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for SeededRandom {}

#[cfg(test)]
mod tests {
    use rand_core::Rng;

    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_numbers() {
        // The first numbers of the reference implementation for this seed.
        let mut random = SeededRandom::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }
}
