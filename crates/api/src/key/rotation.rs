//! The secrets of partner keys, and rotations of them.

use api_macros::{Request, Response};
use keys::{LiveSecret, RotationDraft};
use serde::Serialize;

use crate::{
    Time,
    wire::{KeyPrefix, Whole},
};

/// A secret of a partner key, without the secret itself.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "KeySecret")]
pub struct SecretView {
    /// The first characters of the secret.
    #[api(as = KeyPrefix)]
    key_prefix: String,
    /// The time at which the secret was created.
    created_at: Time,
    /// The time from which the secret is refused; `null` for the newest, which
    /// ends with its key.
    expires_at: Option<Time>,
    /// The last time at which the secret was used, to the minute; `null` if it was never used.
    last_used_at: Option<Time>,
}

impl From<LiveSecret<'_>> for SecretView {
    fn from(secret: LiveSecret<'_>) -> Self {
        Self {
            key_prefix: secret.key_prefix.to_owned(),
            created_at: Time(secret.created_at),
            expires_at: secret.expires_at.map(Time),
            last_used_at: secret.last_used_at.map(Time),
        }
    }
}

/// The overlap of a rotation whose request names none, in seconds: a day.
const DEFAULT_OVERLAP: u64 = 86_400;

/// A rotation of a partner key.
#[derive(Request)]
#[api(name = "Rotation")]
pub struct NewRotation {
    /// The seconds for which the secret before works on, up to 30 days; 0 ends it at once. The default is a day.
    #[api(example = 86400)]
    overlap_seconds: Option<Whole<0, 2_592_000>>,
    /// Ends the overlap early: once the new secret was used, and the one before was not for so many seconds.
    #[api(example = 3600)]
    finish_when_idle_seconds: Option<Whole<1, 2_592_000>>,
}

impl From<NewRotation> for RotationDraft {
    fn from(rotation: NewRotation) -> Self {
        let seconds = |seconds: u64| u32::try_from(seconds).unwrap_or(u32::MAX);
        Self {
            overlap_seconds: seconds(rotation.overlap_seconds.map_or(DEFAULT_OVERLAP, |it| it.0)),
            finish_when_idle: rotation.finish_when_idle_seconds.map(|it| seconds(it.0)),
        }
    }
}
