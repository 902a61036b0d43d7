//! The steps in which an org is provisioned, changed and deprovisioned.

use time::OffsetDateTime;

/// One step's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepName {
    /// The provisioner provisions what the org needs.
    Provision,
    /// The default workspace is made.
    Workspace,
    /// The provisioner changes the org to another plan or other options.
    Update,
    /// The provisioner replaces the org's secrets.
    Rotate,
    /// The provisioner takes away what the org stood on.
    Deprovision,
}

impl StepName {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Provision,
        Self::Workspace,
        Self::Update,
        Self::Rotate,
        Self::Deprovision,
    ];

    /// The steps in which an org is made, in their order.
    pub const PROVISIONING_STEPS: [Self; 2] = [Self::Provision, Self::Workspace];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::Workspace => "workspace",
            Self::Update => "update",
            Self::Rotate => "rotate",
            Self::Deprovision => "deprovision",
        }
    }

    /// The step of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|name| name.as_str() == text)
    }
}

/// The status of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepStatus {
    /// Nothing has been done yet.
    Pending,
    /// It is being worked on.
    Running,
    /// It is done.
    Succeeded,
    /// The last attempt failed.
    Failed,
}

impl StepStatus {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Pending, Self::Running, Self::Succeeded, Self::Failed];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// The status of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|status| status.as_str() == text)
    }
}

/// One step of an org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which one.
    pub name: StepName,
    /// Its status.
    pub status: StepStatus,
    /// How often it was begun, what was cut off with its worker not counted.
    pub attempts: u32,
    /// When it was last begun.
    pub started_at: Option<OffsetDateTime>,
    /// When it last ended.
    pub finished_at: Option<OffsetDateTime>,
}

impl Step {
    /// A step that has not begun.
    #[must_use]
    pub const fn pending(name: StepName) -> Self {
        Self {
            name,
            status: StepStatus::Pending,
            attempts: 0,
            started_at: None,
            finished_at: None,
        }
    }

    /// Begins the step, once more if need be. One that runs already was cut off with its worker, and that
    /// attempt goes on instead of being counted.
    pub const fn begin(&mut self, now: OffsetDateTime) {
        if !matches!(self.status, StepStatus::Running) {
            self.attempts = self.attempts.saturating_add(1);
        }
        self.status = StepStatus::Running;
        self.started_at = Some(now);
        self.finished_at = None;
    }

    /// Ends the step.
    pub const fn end(&mut self, succeeded: bool, now: OffsetDateTime) {
        self.status = if succeeded {
            StepStatus::Succeeded
        } else {
            StepStatus::Failed
        };
        self.finished_at = Some(now);
    }
}
