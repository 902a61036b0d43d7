//! The states of an org and the moves between them.

use std::{fmt, str::FromStr};

/// A text that is not the status of an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an org's status is one of provisioning, ready, failed, suspended, deprovisioning, deleted"
)]
pub struct UnknownOrgStatus;

/// Where an org stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgStatus {
    /// It is being made.
    Provisioning,
    /// It can be used.
    Ready,
    /// Making it has failed; an admin may try again.
    Failed,
    /// An admin has paused it.
    Suspended,
    /// It is being taken away.
    Deprovisioning,
    /// It is gone; its record stays.
    Deleted,
}

impl OrgStatus {
    const ALL: [Self; 6] = [
        Self::Provisioning,
        Self::Ready,
        Self::Failed,
        Self::Suspended,
        Self::Deprovisioning,
        Self::Deleted,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Suspended => "suspended",
            Self::Deprovisioning => "deprovisioning",
            Self::Deleted => "deleted",
        }
    }

    /// Whether the reconciler has work to do before the status changes.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        match self {
            Self::Provisioning | Self::Deprovisioning => true,
            Self::Ready | Self::Failed | Self::Suspended | Self::Deleted => false,
        }
    }

    /// Those of an org that is not on its way out, nor gone.
    pub const DELETABLE: [Self; 4] = [
        Self::Provisioning,
        Self::Ready,
        Self::Failed,
        Self::Suspended,
    ];

    /// Whether the org is not on its way out, nor gone.
    #[must_use]
    pub const fn is_deletable(self) -> bool {
        match self {
            Self::Provisioning | Self::Ready | Self::Failed | Self::Suspended => true,
            Self::Deprovisioning | Self::Deleted => false,
        }
    }

    /// The status after a move.
    ///
    /// # Errors
    /// When the move does not start here.
    pub const fn after(self, step: Move) -> Result<Self, WrongMove> {
        match (step, self) {
            (Move::Provisioned, Self::Provisioning) | (Move::Resume, Self::Suspended) => {
                Ok(Self::Ready)
            }
            (Move::GiveUp, Self::Provisioning) => Ok(Self::Failed),
            (Move::Retry, Self::Failed) => Ok(Self::Provisioning),
            (Move::Suspend, Self::Ready) => Ok(Self::Suspended),
            (Move::Delete, Self::Provisioning | Self::Ready | Self::Failed | Self::Suspended) => {
                Ok(Self::Deprovisioning)
            }
            (Move::Deprovisioned, Self::Deprovisioning) => Ok(Self::Deleted),
            (
                Move::Provisioned
                | Move::GiveUp
                | Move::Retry
                | Move::Suspend
                | Move::Resume
                | Move::Delete
                | Move::Deprovisioned,
                from,
            ) => Err(WrongMove { step, from }),
        }
    }
}

impl fmt::Display for OrgStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OrgStatus {
    type Err = UnknownOrgStatus;

    fn from_str(text: &str) -> Result<Self, UnknownOrgStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(UnknownOrgStatus)
    }
}

/// A move from one status to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Provisioning is done.
    Provisioned,
    /// Provisioning has failed for good.
    GiveUp,
    /// An admin asks to try again.
    Retry,
    /// An admin pauses the org.
    Suspend,
    /// An admin ends the pause.
    Resume,
    /// Somebody asks to take the org away.
    Delete,
    /// Taking it away is done.
    Deprovisioned,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provisioned => "be made ready",
            Self::GiveUp => "fail",
            Self::Retry => "be tried again",
            Self::Suspend => "be suspended",
            Self::Resume => "be resumed",
            Self::Delete => "be deleted",
            Self::Deprovisioned => "be taken away",
        })
    }
}

/// The move does not start at this status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an org that is {from} can't {step}")]
pub struct WrongMove {
    /// The move.
    pub step: Move,
    /// Where the org stands.
    pub from: OrgStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moves_are_exactly_these() {
        use OrgStatus::{Deleted, Deprovisioning, Failed, Provisioning, Ready, Suspended};
        let allowed = [
            (Provisioning, Move::Provisioned, Ready),
            (Provisioning, Move::GiveUp, Failed),
            (Failed, Move::Retry, Provisioning),
            (Ready, Move::Suspend, Suspended),
            (Suspended, Move::Resume, Ready),
            (Provisioning, Move::Delete, Deprovisioning),
            (Ready, Move::Delete, Deprovisioning),
            (Failed, Move::Delete, Deprovisioning),
            (Suspended, Move::Delete, Deprovisioning),
            (Deprovisioning, Move::Deprovisioned, Deleted),
        ];
        let moves = [
            Move::Provisioned,
            Move::GiveUp,
            Move::Retry,
            Move::Suspend,
            Move::Resume,
            Move::Delete,
            Move::Deprovisioned,
        ];
        for from in OrgStatus::ALL {
            for step in moves {
                let expect = allowed.iter().find(|row| (row.0, row.1) == (from, step));
                let expect = expect.map(|row| row.2).ok_or(WrongMove { step, from });
                assert_eq!(from.after(step), expect);
            }
        }
    }

    #[test]
    fn what_stays_is_what_can_be_deleted() {
        for status in OrgStatus::ALL {
            assert_eq!(status.is_deletable(), status.after(Move::Delete).is_ok());
            assert_eq!(
                status.is_deletable(),
                OrgStatus::DELETABLE.contains(&status)
            );
        }
    }

    #[test]
    fn every_status_reads_back_as_it_was_printed() {
        for status in OrgStatus::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
        }
    }
}
