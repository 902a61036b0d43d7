//! The state machine of orgs: statuses and transitions.

use std::{fmt, str::FromStr};

/// A text that is not the status of an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an org's status is one of provisioning, ready, updating, failed, suspended, deprovisioning, deleted"
)]
pub struct UnknownOrgStatus;

/// The status of an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgStatus {
    /// It is being provisioned.
    Provisioning,
    /// It can be used.
    Ready,
    /// It can be used, while its provisioner changes it.
    Updating,
    /// Provisioning has failed; an admin may retry it.
    Failed,
    /// An admin has suspended it.
    Suspended,
    /// It is being deleted.
    Deprovisioning,
    /// It is gone; its record stays.
    Deleted,
}

impl OrgStatus {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Provisioning,
        Self::Ready,
        Self::Updating,
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
            Self::Updating => "updating",
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
            Self::Provisioning | Self::Updating | Self::Deprovisioning => true,
            Self::Ready | Self::Failed | Self::Suspended | Self::Deleted => false,
        }
    }

    /// The statuses of an org that is not deleted or being deleted.
    pub const DELETABLE: [Self; 5] = [
        Self::Provisioning,
        Self::Ready,
        Self::Updating,
        Self::Failed,
        Self::Suspended,
    ];

    /// Whether the org can be used.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Ready | Self::Updating)
    }

    /// Whether the org is not deleted or being deleted.
    #[must_use]
    pub const fn is_deletable(self) -> bool {
        match self {
            Self::Provisioning | Self::Ready | Self::Updating | Self::Failed | Self::Suspended => {
                true
            }
            Self::Deprovisioning | Self::Deleted => false,
        }
    }

    /// The status after a transition.
    ///
    /// # Errors
    /// When the transition does not start here.
    pub const fn after(self, step: Transition) -> Result<Self, InvalidTransition> {
        match (step, self) {
            (Transition::Provisioned, Self::Provisioning)
            | (Transition::Changed | Transition::KeepUnchanged, Self::Updating)
            | (Transition::Resume, Self::Suspended) => Ok(Self::Ready),
            (Transition::Change, Self::Ready) => Ok(Self::Updating),
            (Transition::GiveUp, Self::Provisioning) => Ok(Self::Failed),
            (Transition::Retry, Self::Failed) => Ok(Self::Provisioning),
            (Transition::Suspend, Self::Ready) => Ok(Self::Suspended),
            (
                Transition::Delete,
                Self::Provisioning | Self::Ready | Self::Updating | Self::Failed | Self::Suspended,
            ) => Ok(Self::Deprovisioning),
            (Transition::Deprovisioned, Self::Deprovisioning) => Ok(Self::Deleted),
            (
                Transition::Provisioned
                | Transition::GiveUp
                | Transition::Change
                | Transition::Changed
                | Transition::KeepUnchanged
                | Transition::Retry
                | Transition::Suspend
                | Transition::Resume
                | Transition::Delete
                | Transition::Deprovisioned,
                from,
            ) => Err(InvalidTransition { step, from }),
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
pub enum Transition {
    /// Provisioning is done.
    Provisioned,
    /// Provisioning has failed for good.
    GiveUp,
    /// A change is asked for that the provisioner carries out.
    Change,
    /// The change is done.
    Changed,
    /// The change has failed for good, and the org stays as it was.
    KeepUnchanged,
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

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provisioned => "be made ready",
            Self::GiveUp => "fail",
            Self::Change | Self::Changed => "be changed",
            Self::KeepUnchanged => "stay as it was",
            Self::Retry => "be retried",
            Self::Suspend => "be suspended",
            Self::Resume => "be resumed",
            Self::Delete => "be deleted",
            Self::Deprovisioned => "be deprovisioned",
        })
    }
}

/// The transition does not start at this status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an org that is {from} can't {step}")]
pub struct InvalidTransition {
    /// The transition.
    pub step: Transition,
    /// The org's status.
    pub from: OrgStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moves_are_exactly_these() {
        use OrgStatus::{
            Deleted, Deprovisioning, Failed, Provisioning, Ready, Suspended, Updating,
        };
        let allowed = [
            (Provisioning, Transition::Provisioned, Ready),
            (Provisioning, Transition::GiveUp, Failed),
            (Failed, Transition::Retry, Provisioning),
            (Ready, Transition::Change, Updating),
            (Updating, Transition::Changed, Ready),
            (Updating, Transition::KeepUnchanged, Ready),
            (Updating, Transition::Delete, Deprovisioning),
            (Ready, Transition::Suspend, Suspended),
            (Suspended, Transition::Resume, Ready),
            (Provisioning, Transition::Delete, Deprovisioning),
            (Ready, Transition::Delete, Deprovisioning),
            (Failed, Transition::Delete, Deprovisioning),
            (Suspended, Transition::Delete, Deprovisioning),
            (Deprovisioning, Transition::Deprovisioned, Deleted),
        ];
        let moves = [
            Transition::Provisioned,
            Transition::GiveUp,
            Transition::Change,
            Transition::Changed,
            Transition::KeepUnchanged,
            Transition::Retry,
            Transition::Suspend,
            Transition::Resume,
            Transition::Delete,
            Transition::Deprovisioned,
        ];
        for from in OrgStatus::ALL {
            for step in moves {
                let expect = allowed.iter().find(|row| (row.0, row.1) == (from, step));
                let expect = expect
                    .map(|row| row.2)
                    .ok_or(InvalidTransition { step, from });
                assert_eq!(from.after(step), expect);
            }
        }
    }

    #[test]
    fn what_stays_is_what_can_be_deleted() {
        for status in OrgStatus::ALL {
            assert_eq!(
                status.is_deletable(),
                status.after(Transition::Delete).is_ok()
            );
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
