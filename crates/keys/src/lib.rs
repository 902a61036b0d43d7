#![doc = include_str!("../README.md")]
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
    FoundKey, KeyStatus, KeyWithPartner, LISTED_AFTER_END, MAX_RULE_KEY_LIFE, OnRevoke, PartnerKey,
    RevocationReason, UnknownOnRevoke, UnknownRevocationReason, UnknownStatus,
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
