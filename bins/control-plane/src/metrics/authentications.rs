//! Metrics of authentication.

use keys::KeyKind;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use service::{Error, LimitName};

use super::register;

/// What became of an authentication that did not succeed, or of one that did and met a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request had no credential, or one in the wrong place.
    Missing,
    /// The form or the checksum was wrong.
    Malformed,
    Unknown,
    Expired,
    Revoked,
    Disabled,
    /// Too many unknown tokens came from the address.
    Limited,
    /// The credential can be used; a limit of its own refuses the request.
    Success,
    /// The database did not answer.
    Error,
}

impl Outcome {
    const ALL: [Self; 9] = [
        Self::Missing,
        Self::Malformed,
        Self::Unknown,
        Self::Expired,
        Self::Revoked,
        Self::Disabled,
        Self::Limited,
        Self::Success,
        Self::Error,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Limited => "limited",
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        if let Error::RateLimited { limits, .. } = error {
            return if limits.contains(&LimitName::Address) {
                Self::Limited
            } else {
                Self::Success
            };
        }
        match error.code().as_str() {
            "invalid-key" => Self::Unknown,
            "key-expired" => Self::Expired,
            "key-revoked" => Self::Revoked,
            "key-disabled" => Self::Disabled,
            "internal" | "unavailable" => Self::Error,
            // The credential is known and can be used.
            _ => Self::Success,
        }
    }
}

/// The kind of credential that a token has the form of.
const fn credential(kind: Option<KeyKind>) -> &'static str {
    match kind {
        Some(KeyKind::Partner) => "partner_key",
        Some(KeyKind::Admin | KeyKind::Operator) => "admin_key",
        None => "none",
    }
}

pub struct AuthenticationMetrics {
    all: IntCounterVec,
    by_partner: IntCounter,
    by_admin: IntCounter,
}

impl AuthenticationMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let all = IntCounterVec::new(
            Opts::new(
                "molecule_authentications_total",
                "Authentications of requests, by the form of the credential and the outcome",
            ),
            &["credential", "outcome"],
        );
        let all = register(registry, all)?;
        // From the start on, so that a first one shows as a rise.
        for outcome in Outcome::ALL {
            let kinds: &[_] = if matches!(outcome, Outcome::Missing | Outcome::Malformed) {
                &[None]
            } else {
                &[Some(KeyKind::Partner), Some(KeyKind::Admin)]
            };
            for &kind in kinds {
                let _ = all.with_label_values(&[credential(kind), outcome.as_str()]);
            }
        }
        let succeeded = |kind| all.with_label_values(&[credential(Some(kind)), "success"]);
        Ok(Self {
            by_partner: succeeded(KeyKind::Partner),
            by_admin: succeeded(KeyKind::Admin),
            all,
        })
    }

    pub fn succeeded(&self, by_admin: bool) {
        if by_admin {
            self.by_admin.inc();
        } else {
            self.by_partner.inc();
        }
    }

    /// Counts what has not succeeded; the kind of the token, where its form is known.
    pub fn ended(&self, kind: Option<KeyKind>, outcome: Outcome) {
        self.count(kind, outcome).inc();
    }

    fn count(&self, kind: Option<KeyKind>, outcome: Outcome) -> IntCounter {
        self.all
            .with_label_values(&[credential(kind), outcome.as_str()])
    }

    /// How many requests came without a known credential.
    pub fn without_credential(&self) -> u64 {
        let unknown = [KeyKind::Partner, KeyKind::Admin].map(|kind| (Some(kind), Outcome::Unknown));
        let formless = [(None, Outcome::Missing), (None, Outcome::Malformed)];
        let counts = unknown.into_iter().chain(formless);
        counts
            .map(|(kind, outcome)| self.count(kind, outcome).get())
            .sum()
    }

    /// How many tokens of the right form were looked up.
    pub fn lookups(&self) -> u64 {
        let looked_up = Outcome::ALL
            .into_iter()
            .filter(|outcome| !matches!(outcome, Outcome::Missing | Outcome::Malformed));
        looked_up
            .flat_map(|outcome| [KeyKind::Partner, KeyKind::Admin].map(|kind| (kind, outcome)))
            .map(|(kind, outcome)| self.count(Some(kind), outcome).get())
            .sum()
    }
}
