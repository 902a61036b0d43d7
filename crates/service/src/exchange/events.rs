//! The events of exchanges. The partner of the rule sees them; a token is in none.

use audit::{Actor, Event, Target, TargetKind};
use ids::EventId;
use keys::PartnerKey;
use trust::{Jwt, TrustRule};

use super::ExchangeError;
use crate::RequestInfo;

/// The longest subject of a token that is recorded, in characters.
const MAX_SUBJECT: usize = 255;

fn event(request: &RequestInfo, id: EventId, rule: &TrustRule, status: u16) -> Event {
    let actor = Actor::System {
        partner_id: Some(rule.partner_id),
    };
    Event {
        target: Target::one(TargetKind::TrustRule, rule.id),
        ..request.event(id, actor, status)
    }
}

/// The event of an exchange that was made.
pub(super) fn exchanged_event(
    request: &RequestInfo,
    id: EventId,
    rule: &TrustRule,
    (key, token): (&PartnerKey, &Jwt),
) -> Event {
    let mut event = event(request, id, rule, 200);
    let details = &mut event.details;
    details.insert("key_id".to_owned(), key.id.to_string().into());
    details.insert("name".to_owned(), key.name.as_str().into());
    details.insert("scopes".to_owned(), key.scopes.to_string().into());
    if let Some(subject) = token.text("sub") {
        let subject: String = subject.chars().filter(|c| !c.is_control()).collect();
        let subject: String = subject.chars().take(MAX_SUBJECT).collect();
        details.insert("subject".to_owned(), subject.into());
    }
    for (label, value) in key.labels.iter() {
        details.insert(label.to_owned(), value.into());
    }
    event
}

/// The event of one that was refused, with the reason and never a value.
pub(super) fn rejected_event(
    request: &RequestInfo,
    id: EventId,
    rule: &TrustRule,
    error: &ExchangeError,
) -> Event {
    let mut event = event(request, id, rule, error.status());
    let details = &mut event.details;
    details.insert("name".to_owned(), rule.name.as_str().into());
    details.insert("reason".to_owned(), error.reason().into());
    let detail = if matches!(error, ExchangeError::NoRule) {
        Some("the rule is disabled or deleted".to_owned())
    } else if matches!(error, ExchangeError::Store(_)) {
        // The engine's own words are for the log alone.
        None
    } else {
        Some(error.to_string())
    };
    if let Some(detail) = detail {
        details.insert("detail".to_owned(), detail.into());
    }
    event
}
