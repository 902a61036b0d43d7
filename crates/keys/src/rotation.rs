//! Rotation: a key gets another secret, and the secret before it works on for a while.
//!
//! A key has at most two secrets that work. The newest is what every key has; an older one is there once the key
//! has been rotated, and is kept after its end until the next rotation, so that a call with it is told what has
//! become of it.

use std::sync::Arc;

use time::{Duration, OffsetDateTime};

use crate::{KeyStatus, PartnerKey};

/// How long after the last minute of its use a secret is idle at the earliest: uses are recorded a little late.
const IDLE_GRACE: Duration = Duration::seconds(5);
/// How soon a rotation whose new secret was not used yet is looked at again.
const MIN_CHECK: Duration = Duration::seconds(5);
/// See [`MIN_CHECK`].
const MAX_CHECK: Duration = Duration::minutes(5);

/// The secret that a request was authenticated by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedSecret {
    /// Its first characters.
    pub key_prefix: Arc<str>,
    /// When it was made. No two secrets of a key were made at the same time, so this tells them apart.
    pub created_at: OffsetDateTime,
}

/// A secret that works, as its key shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSecret<'a> {
    /// Its first characters.
    pub key_prefix: &'a str,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it stops working by itself; `None` for the newest, which ends with its key.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was last used, true to the minute.
    pub last_used_at: Option<OffsetDateTime>,
}

/// What a key has that was rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// When the newest secret was made.
    pub created_at: OffsetDateTime,
    /// When the newest secret was last used, true to the minute.
    pub last_used_at: Option<OffsetDateTime>,
    /// The secret before it.
    pub older: OlderSecret,
}

/// A secret that another has replaced, or whose rotation was cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OlderSecret {
    /// Its first characters.
    pub key_prefix: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ends, or has ended.
    pub expires_at: OffsetDateTime,
    /// When it was last used, true to the minute.
    pub last_used_at: Option<OffsetDateTime>,
    /// For how many seconds it is to be unused, once the newest is in use, for the rotation to end early.
    pub finish_when_idle: Option<u32>,
}

/// A rotation that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationDraft {
    /// For how many seconds the secret before works on.
    pub overlap_seconds: u32,
    /// For how many seconds that one is to be unused, once the new one is in use, for the rotation to end early.
    pub finish_when_idle: Option<u32>,
}

/// Another secret for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSecret {
    /// Its first characters.
    pub key_prefix: String,
    /// The time of the rotation.
    pub at: OffsetDateTime,
    /// For how long the secret before it works on.
    pub overlap: Duration,
    /// For how many seconds that one is to be unused, once the new one is in use, for the rotation to end early.
    pub finish_when_idle: Option<u32>,
}

/// Why a key can't be rotated, or its rotation can't be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotationConflict {
    /// The key can't be used.
    #[error("the key is {0}; rotate one that is active")]
    Unusable(KeyStatus),
    /// The key is revoked.
    #[error("the key has been revoked; issue a new one")]
    Revoked,
    /// A rotation is running: the key has two secrets.
    #[error(
        "the key has two secrets already; finish or cancel the rotation that is running, then rotate again"
    )]
    Running,
    /// No rotation is running: the key has one secret.
    #[error("no rotation of the key is running; it has one secret")]
    NotRunning,
}

/// What is to be done about a rotation at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationStep {
    /// The overlap is over: the older secret has ended by itself.
    Over,
    /// The older secret was not used for so long that it is to end now.
    EndIdle,
    /// Nothing before this time.
    Wait(OffsetDateTime),
}

impl OlderSecret {
    /// Whether it works at `now`, as far as it is its to say.
    #[must_use]
    pub fn is_live(&self, now: OffsetDateTime) -> bool {
        now < self.expires_at
    }
}

impl Rotation {
    /// What is to be done at `now`.
    #[must_use]
    pub fn step(&self, now: OffsetDateTime) -> RotationStep {
        let older = &self.older;
        if !older.is_live(now) {
            return RotationStep::Over;
        }
        let Some(seconds) = older.finish_when_idle else {
            return RotationStep::Wait(older.expires_at);
        };
        let idle = Duration::seconds(seconds.into());
        let quiet_since = older.last_used_at.max(Some(self.created_at));
        let idle_at = quiet_since.map_or(now, |last| after(end_of_minute(last), idle + IDLE_GRACE));
        let next = if self.last_used_at.is_none() {
            let soon = idle / 4_i32;
            idle_at.max(after(now, soon.clamp(MIN_CHECK, MAX_CHECK)))
        } else if idle_at <= now {
            return RotationStep::EndIdle;
        } else {
            idle_at
        };
        RotationStep::Wait(next.min(older.expires_at))
    }
}

/// A record of use stands for the whole minute: later uses in it are not recorded.
fn end_of_minute(at: OffsetDateTime) -> OffsetDateTime {
    let seconds = at.unix_timestamp().rem_euclid(60);
    let begin = at - Duration::seconds(seconds) - Duration::nanoseconds(at.nanosecond().into());
    after(begin, Duration::minutes(1))
}

fn after(at: OffsetDateTime, wait: Duration) -> OffsetDateTime {
    at.checked_add(wait).unwrap_or(at)
}

impl PartnerKey {
    /// When its newest secret was made.
    #[must_use]
    pub fn secret_created_at(&self) -> OffsetDateTime {
        self.rotation
            .as_ref()
            .map_or(self.created_at, |rotation| rotation.created_at)
    }

    /// When its newest secret was last used.
    fn secret_last_used_at(&self) -> Option<OffsetDateTime> {
        match &self.rotation {
            None => self.last_used_at,
            Some(rotation) => rotation.last_used_at,
        }
    }

    /// Its newest secret, as the one that a request has used.
    #[must_use]
    pub fn newest_secret(&self) -> UsedSecret {
        UsedSecret {
            key_prefix: self.key_prefix.as_str().into(),
            created_at: self.secret_created_at(),
        }
    }

    /// The secret before its newest, as the one that a request has used.
    #[must_use]
    pub fn older_secret(&self) -> Option<UsedSecret> {
        let older = &self.rotation.as_ref()?.older;
        Some(UsedSecret {
            key_prefix: older.key_prefix.as_str().into(),
            created_at: older.created_at,
        })
    }

    /// The secrets that work at `now` unless the key itself can't be used, the newest first.
    #[must_use]
    pub fn live_secrets(&self, now: OffsetDateTime) -> Vec<LiveSecret<'_>> {
        let newest = LiveSecret {
            key_prefix: &self.key_prefix,
            created_at: self.secret_created_at(),
            expires_at: None,
            last_used_at: self.secret_last_used_at(),
        };
        let older = self.running_rotation(now).map(|rotation| {
            let older = &rotation.older;
            LiveSecret {
                key_prefix: &older.key_prefix,
                created_at: older.created_at,
                expires_at: Some(self.end_of_older(older)),
                last_used_at: older.last_used_at,
            }
        });
        std::iter::once(newest).chain(older).collect()
    }

    /// The rotation, while both secrets work.
    #[must_use]
    pub fn running_rotation(&self, now: OffsetDateTime) -> Option<&Rotation> {
        self.rotation
            .as_ref()
            .filter(|rotation| rotation.older.is_live(now))
    }

    fn end_of_older(&self, older: &OlderSecret) -> OffsetDateTime {
        self.expires_at
            .map_or(older.expires_at, |end| end.min(older.expires_at))
    }

    /// Whether a secret of this key has ended before `now`, whatever the state of the key is.
    #[must_use]
    pub fn has_ended(&self, secret: &UsedSecret, now: OffsetDateTime) -> bool {
        if secret.created_at == self.secret_created_at() {
            return false;
        }
        let older = self.running_rotation(now).map(|rotation| &rotation.older);
        older.is_none_or(|older| older.created_at != secret.created_at)
    }

    /// Since when a secret of this key has a successor, and until when it works; `None` for the newest.
    #[must_use]
    pub fn deprecation(&self, secret: &UsedSecret) -> Option<(OffsetDateTime, OffsetDateTime)> {
        let rotation = self.rotation.as_ref()?;
        let is_older = rotation.older.created_at == secret.created_at;
        let has_successor = secret.created_at < rotation.created_at;
        (is_older && has_successor)
            .then(|| (rotation.created_at, self.end_of_older(&rotation.older)))
    }

    /// When a secret of this key was last used.
    #[must_use]
    pub fn last_use_of(&self, secret: &UsedSecret) -> Option<OffsetDateTime> {
        match &self.rotation {
            Some(rotation) if rotation.older.created_at == secret.created_at => {
                rotation.older.last_used_at
            }
            _ => self.secret_last_used_at(),
        }
    }

    /// Gives it another secret.
    ///
    /// # Errors
    /// When the key can't be used, or has two secrets already.
    pub fn rotate(&mut self, new: NewSecret) -> Result<(), RotationConflict> {
        match self.status(new.at) {
            KeyStatus::Active => {}
            KeyStatus::Revoked => return Err(RotationConflict::Revoked),
            status @ (KeyStatus::Disabled | KeyStatus::Expired) => {
                return Err(RotationConflict::Unusable(status));
            }
        }
        if self.running_rotation(new.at).is_some() {
            return Err(RotationConflict::Running);
        }
        self.replace_secret(new);
        Ok(())
    }

    /// Gives it another secret whatever its state is.
    pub fn replace_secret(&mut self, new: NewSecret) {
        let NewSecret {
            key_prefix,
            at,
            overlap,
            finish_when_idle,
        } = new;
        let before = self.rotation.as_ref();
        let last = before.map(|rotation| rotation.created_at.max(rotation.older.created_at));
        let last = last.unwrap_or(self.created_at);
        let older = OlderSecret {
            created_at: self.secret_created_at(),
            expires_at: at.checked_add(overlap).unwrap_or(at),
            last_used_at: self.secret_last_used_at(),
            finish_when_idle: finish_when_idle.filter(|_| overlap.is_positive()),
            key_prefix: std::mem::replace(&mut self.key_prefix, key_prefix),
        };
        self.rotation = Some(Rotation {
            created_at: at.max(last + Duration::MICROSECOND),
            last_used_at: None,
            older,
        });
    }

    /// Ends the older secret at `now`.
    ///
    /// # Errors
    /// When the key is revoked, or no rotation is running.
    pub fn finish_rotation(&mut self, now: OffsetDateTime) -> Result<(), RotationConflict> {
        self.running(now)?.older.expires_at = now;
        Ok(())
    }

    /// Ends the newest secret at `now`: the older one is the newest again, for as long as the key lives.
    ///
    /// # Errors
    /// When the key is revoked, or no rotation is running.
    pub fn cancel_rotation(&mut self, now: OffsetDateTime) -> Result<(), RotationConflict> {
        let rotation = self.running(now)?;
        let older = &rotation.older;
        let kept = Rotation {
            created_at: older.created_at,
            last_used_at: older.last_used_at,
            older: OlderSecret {
                key_prefix: String::new(),
                created_at: rotation.created_at,
                expires_at: now,
                last_used_at: rotation.last_used_at,
                finish_when_idle: None,
            },
        };
        let before = std::mem::replace(rotation, kept);
        let cancelled = std::mem::replace(&mut self.key_prefix, before.older.key_prefix);
        if let Some(rotation) = &mut self.rotation {
            rotation.older.key_prefix = cancelled;
        }
        Ok(())
    }

    fn running(&mut self, now: OffsetDateTime) -> Result<&mut Rotation, RotationConflict> {
        if self.revoked_at.is_some() {
            return Err(RotationConflict::Revoked);
        }
        self.rotation
            .as_mut()
            .filter(|rotation| rotation.older.is_live(now))
            .ok_or(RotationConflict::NotRunning)
    }
}

#[cfg(test)]
mod tests;
