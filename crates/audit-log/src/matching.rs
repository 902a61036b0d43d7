//! Filtering a segment's entries without decoding all of them.

use audit::{ActorId, AuditVisibility, EventFilter};
use ids::{RequestId, TypedId as _};

use crate::{
    Entry, Segment, Subject, SubjectKind, id_bytes,
    segment::{ActorEntry, RequestIdEntry, get},
    subject,
    timestamp::micros,
};

impl Segment<'_> {
    /// Whether the filter may list the event. There are false positives and no false negatives.
    #[must_use]
    pub fn may_match(&self, filter: &EventFilter, entry: &Entry<'_>) -> bool {
        let partner = match filter.visibility {
            AuditVisibility::All => None,
            AuditVisibility::Partner(partner) | AuditVisibility::Org(partner, _) => Some(partner),
        };
        let (actor, of_partner) = match entry.actor {
            ActorEntry::Key { key, partner } => (Some(key), Some(partner)),
            ActorEntry::Admin { key } => (Some(key), None),
            ActorEntry::System { partner } => (None, partner),
        };
        let is = |position: Option<u32>, wanted: Subject| {
            position.and_then(|position| self.subjects.get(position).ok()) == Some(&wanted)
        };
        let says = |position, wanted| get(&self.rest.words, position).ok() == Some(&wanted);
        filter.actor.is_none_or(|wanted| match wanted {
            ActorId::Key(id) => is(actor, subject(SubjectKind::Key, id)),
            ActorId::Admin(id) => is(actor, subject(SubjectKind::Admin, id)),
        }) && [partner, filter.partner_id]
            .into_iter()
            .flatten()
            .all(|id| is(of_partner, subject(SubjectKind::Partner, id)))
            && filter
                .org_id
                .is_none_or(|id| is(entry.org, subject(SubjectKind::Org, id)))
            && filter
                .action
                .is_none_or(|action| says(entry.action, action.as_str()))
            && filter
                .outcome
                .is_none_or(|outcome| says(entry.outcome, outcome.as_str()))
            && filter
                .request_id
                .as_deref()
                .is_none_or(|id| entry.is_of_request(id))
            && filter
                .since
                .is_none_or(|since| entry.micros() >= micros(since))
            && filter
                .until
                .is_none_or(|until| entry.micros() < micros(until))
    }
}

impl Entry<'_> {
    fn is_of_request(&self, id: &str) -> bool {
        self.request
            .as_ref()
            .is_some_and(|request| match request.id {
                RequestIdEntry::FromClient(text) => text == id,
                RequestIdEntry::Generated(generated) => id
                    .parse::<RequestId>()
                    .is_ok_and(|id| id_bytes(id.ulid()) == generated),
            })
    }
}
