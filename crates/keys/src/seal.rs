//! Sealing what must be kept and must not be readable in the database.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{Pepper, PepperId, Peppers};

/// XChaCha20's nonce, long enough to be random.
const NONCE: usize = 24;

impl Peppers {
    /// Seals a text so that only a holder of the pepper can read or change it, and only together with
    /// what it is `bound` to: XChaCha20-Poly1305 under a key derived from the pepper.
    ///
    /// The nonce comes before the sealed text. Empty when the text is longer than the cipher takes,
    /// which is 256 GiB.
    pub fn seal(&self, text: &[u8], bound: &[u8], random: &mut impl CryptoRng) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        random.fill_bytes(&mut nonce);
        let payload = Payload {
            msg: text,
            aad: bound,
        };
        let sealed = self
            .current()
            .cipher()
            .encrypt(&XNonce::from(nonce), payload);
        sealed.map_or_else(
            |_| Vec::new(),
            |sealed| [nonce.as_slice(), &sealed].concat(),
        )
    }

    /// Opens what was sealed under the current pepper or a retired one; `None` when it is not that, or
    /// was bound to something else.
    #[must_use]
    pub fn open(&self, sealed: &[u8], bound: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.all().find_map(|pepper| pepper.open(sealed, bound))
    }

    /// The pepper under which this was sealed; `None` when it is none of these.
    #[must_use]
    pub fn sealed_under(&self, sealed: &[u8], bound: &[u8]) -> Option<PepperId> {
        let mut all = self.all();
        all.find(|pepper| pepper.open(sealed, bound).is_some())
            .map(Pepper::id)
    }
}

impl Pepper {
    fn open(&self, sealed: &[u8], bound: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload {
            msg: sealed,
            aad: bound,
        };
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), payload);
        opened.ok().map(Zeroizing::new)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        // A NUL can't be in a key, so this is never the digest of one.
        let key = Zeroizing::new(self.mac(b"\0seal, version 1", b""));
        XChaCha20Poly1305::new(&(*key).into())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use rand_core::{TryCryptoRng, TryRng};

    use super::*;

    struct Counter(u8);

    impl TryRng for Counter {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(0)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(0)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            self.0 += 1;
            bytes.fill(self.0);
            Ok(())
        }
    }

    impl TryCryptoRng for Counter {}

    fn pepper(letter: &str) -> Pepper {
        Pepper::new(letter.repeat(32)).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_for_a_holder_of_the_pepper_alone() {
        let peppers = Peppers::new(pepper("a"), []);
        let sealed = peppers.seal(b"a secret", b"call 1", &mut Counter(0));
        assert!(!sealed.windows(8).any(|window| window == b"a secret"));
        let open = |peppers: &Peppers, bound: &[u8]| peppers.open(&sealed, bound);
        assert_eq!(open(&peppers, b"call 1").unwrap().as_slice(), b"a secret");
        assert_eq!(open(&peppers, b"call 2"), None);
        assert_eq!(open(&Peppers::new(pepper("b"), []), b"call 1"), None);
        let both = Peppers::new(pepper("b"), [pepper("a")]);
        assert!(open(&both, b"call 1").is_some());
        assert_eq!(
            both.sealed_under(&sealed, b"call 1"),
            Some(pepper("a").id())
        );
        assert_eq!(both.sealed_under(&sealed, b"call 2"), None);
    }

    #[test]
    fn whatever_was_changed_does_not_open() {
        let peppers = Peppers::new(pepper("a"), []);
        let sealed = peppers.seal(b"a secret", b"", &mut Counter(0));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(peppers.open(&changed, b""), None, "byte {at}");
            assert_eq!(peppers.open(&sealed[..at], b""), None);
        }
    }

    #[test]
    fn no_two_seals_are_alike() {
        let (peppers, mut random) = (Peppers::new(pepper("a"), []), Counter(0));
        assert_ne!(
            peppers.seal(b"x", b"", &mut random),
            peppers.seal(b"x", b"", &mut random)
        );
    }
}
