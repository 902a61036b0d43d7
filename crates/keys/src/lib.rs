//! Partner and admin keys: their secrets and digests, the partners who hold them, their life.
//!
//! This crate must not know how keys are stored (that is [`KeyStore`]'s to say), what orgs are, and
//! what time it is. It takes a random source and a `now` where it needs one.
//!
//! ```
//! use keys::{KeyKind, Pepper, Peppers, PlainKey};
//! # struct Counter(u64);
//! # impl rand_core::TryRng for Counter {
//! #     type Error = std::convert::Infallible;
//! #     fn try_next_u32(&mut self) -> Result<u32, Self::Error> { Ok(7) }
//! #     fn try_next_u64(&mut self) -> Result<u64, Self::Error> { self.0 += 1; Ok(self.0) }
//! #     fn try_fill_bytes(&mut self, b: &mut [u8]) -> Result<(), Self::Error> { b.fill(7); Ok(()) }
//! # }
//! # impl rand_core::TryCryptoRng for Counter {}
//! # let mut random = Counter(0);
//! let peppers = Peppers::new(Pepper::new("at least thirty-two bytes of secret")?, []);
//! let key = PlainKey::generate(KeyKind::Partner, &mut random);
//! assert!(key.expose().starts_with("mol_pk_"));
//!
//! // What is stored is the digest; what comes in is compared with it.
//! let stored = peppers.digest(&key);
//! let received = PlainKey::parse(key.expose())?;
//! assert!(peppers.candidates(&received).any(|digest| digest == stored));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod admin;
mod changes;
mod creator;
mod digest;
mod draft;
mod key;
mod leak;
mod networks;
mod partner;
mod pepper_id;
mod prefixes;
mod rotation;
mod seal;
mod secret;
mod store;

pub use admin::{AdminKey, AdminKeyDraft, AdminKeyOrigin, AdminRole, UnknownAdminRole};
pub use changes::{Changed, Changes};
pub use creator::KeyCreator;
pub use digest::{InvalidPepper, KeyDigest, Pepper, Peppers};
pub use draft::{KeyChanges, KeyDraft, PartnerChanges, PartnerDraft};
pub use ids::{Change, LabelChanges};
pub use key::{
    FoundKey, KeyStatus, KeyWithPartner, LISTED_AFTER_END, OnRevoke, PartnerKey, RevocationReason,
    UnknownOnRevoke, UnknownRevocationReason, UnknownStatus,
};
pub use leak::{
    InvalidLeakUrl, LeakLocation, LeakReport, LeakSubject, LeakUrl, MAX_LEAK_NOTICES,
    MAX_LEAK_REPORTS, OnLeak, UnknownOnLeak,
};
pub use networks::{InvalidNetworks, Networks, parse_network};
pub use partner::{Partner, PartnerPlan, UnknownPartnerPlan};
pub use pepper_id::{InvalidPepperId, PepperId, PepperNotes, PepperUse};
pub use prefixes::{InvalidKeyPrefix, KeyPrefix, KeyPrefixes, RepeatedKeyPrefix};
pub use rotation::{
    LiveSecret, NewSecret, OlderSecret, Rotation, RotationConflict, RotationDraft, RotationStep,
    UsedSecret,
};
pub use secret::{InvalidOperatorKey, KeyKind, MalformedKey, PlainKey};
pub use store::{
    AdminKeyQueries, AdminKeyStore, KeyChangeQueries, KeyChangeStore, KeyFilter, KeyListRequest,
    KeyQueries, KeyStore, LeakQueries, LeakStore, MIN_CHANGES_KEPT, PartnerQueries, PartnerStore,
    PepperQueries, PepperStore,
};
