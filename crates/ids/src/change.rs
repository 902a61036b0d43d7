//! Merge patches (RFC 7396), one member at a time.

use crate::{InvalidLabels, Labels};

/// What a merge patch says of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It is not mentioned.
    #[default]
    Keep,
    /// It is `null`: the default comes back.
    Clear,
    /// It has a new value.
    Set(T),
}

impl<T> Change<T> {
    /// Whether the member is mentioned at all.
    #[must_use]
    pub const fn is_mentioned(&self) -> bool {
        match self {
            Self::Keep => false,
            Self::Clear | Self::Set(_) => true,
        }
    }

    /// The same change to another type.
    #[must_use]
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Change<U> {
        match self {
            Self::Keep => Change::Keep,
            Self::Clear => Change::Clear,
            Self::Set(value) => Change::Set(map(value)),
        }
    }

    /// Applies the change to a member that may be missing.
    pub fn apply(self, to: &mut Option<T>) {
        self.map(Some).apply_or_default(to);
    }

    /// Applies the change to a member with a default.
    pub fn apply_or_default(self, to: &mut T)
    where
        T: Default,
    {
        match self {
            Self::Keep => {}
            Self::Clear => *to = T::default(),
            Self::Set(value) => *to = value,
        }
    }
}

/// What a merge patch says of labels: a value sets one, `None` takes one away.
pub type LabelChanges = Vec<(String, Option<String>)>;

impl Change<LabelChanges> {
    /// Applies the change to labels.
    ///
    /// # Errors
    /// When the labels after the change are too many; nothing is changed then.
    pub fn apply_to_labels(self, to: &mut Labels) -> Result<(), InvalidLabels> {
        match self {
            Self::Keep => {}
            Self::Clear => *to = Labels::default(),
            Self::Set(changes) => *to = to.patched(changes)?,
        }
        Ok(())
    }
}
