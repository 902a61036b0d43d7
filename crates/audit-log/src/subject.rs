//! Subjects: the keys, partners and orgs by which events are looked up.

use ids::TypedId;

use crate::id_bytes;

/// The length of a subject in bytes.
pub const SUBJECT_LEN: usize = 17;

/// A byte for the kind, then the 16 bytes of the id.
pub type Subject = [u8; SUBJECT_LEN];

/// The kinds of subjects. Their numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// A partner, on whose behalf something was done.
    Partner,
    /// A partner key that acted.
    Key,
    /// An admin key that acted.
    Admin,
    /// An org that an event is about.
    Org,
}

impl SubjectKind {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Partner => 1,
            Self::Key => 2,
            Self::Admin => 3,
            Self::Org => 4,
        }
    }
}

/// The subject of this kind and id.
#[must_use]
pub fn subject(kind: SubjectKind, id: impl TypedId) -> Subject {
    let mut subject = [0; SUBJECT_LEN];
    if let Some((first, rest)) = subject.split_first_mut() {
        *first = kind.byte();
        rest.copy_from_slice(&id_bytes(id.ulid()));
    }
    subject
}
