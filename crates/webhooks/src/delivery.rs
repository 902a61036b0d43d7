//! Deliveries: one message for one endpoint, tried until it arrives or there is no more hope.

use ids::{DeliveryId, EndpointId, PartnerId};
use time::OffsetDateTime;

use crate::{EventKind, SendOutcome, excerpt, schedule::retry_delay};

/// The status of HTTP by which a receiver says that it is gone.
const GONE: u16 = 410;
/// What is wrong with that status from a URL that the endpoint had before.
const GONE_FROM_OLD_URL: &str =
    "answered 410: the receiver at the endpoint's old URL says that it is gone";

/// The status of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It will be tried, again or for the first time.
    Pending,
    /// The receiver has taken it.
    Delivered,
    /// It will not be tried any more, unless somebody asks for it.
    Failed,
}

impl DeliveryStatus {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Pending, Self::Delivered, Self::Failed];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
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

/// What the last attempt brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAnswer {
    /// When.
    pub at: OffsetDateTime,
    /// The status of HTTP, if there was an answer.
    pub status_code: Option<u16>,
    /// The beginning of the answer's body.
    pub excerpt: Option<String>,
    /// What is wrong with it, in words for the partner.
    pub error: Option<String>,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The receiver has accepted the message.
    Delivered,
    /// It will be tried again.
    Retry,
    /// It was the last attempt.
    Exhausted,
    /// The receiver answered 410: it is gone.
    Gone,
}

impl AttemptOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Delivered, Self::Retry, Self::Exhausted, Self::Gone];

    /// The label of metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry => "retry",
            Self::Exhausted => "exhausted",
            Self::Gone => "gone",
        }
    }
}

/// A message for one endpoint. Its id is the message's `webhook-id`, the same in every attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// For which endpoint.
    pub endpoint_id: EndpointId,
    /// For which partner.
    pub partner_id: PartnerId,
    /// What the message is about.
    pub kind: EventKind,
    /// The message, byte for byte as it is sent.
    pub body: String,
    /// Its status.
    pub status: DeliveryStatus,
    /// How often it was tried in all.
    pub attempts: u32,
    /// How often it was tried since it was created or redelivered.
    pub tries: u32,
    /// What the last attempt brought.
    pub last_answer: Option<LastAnswer>,
    /// When it is tried next, while it is pending.
    pub due_at: Option<OffsetDateTime>,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When the receiver took it.
    pub delivered_at: Option<OffsetDateTime>,
    /// When it came to its end, good or bad.
    pub ended_at: Option<OffsetDateTime>,
}

impl Delivery {
    /// A message that is to be sent at once.
    #[must_use]
    pub const fn new(
        id: DeliveryId,
        (endpoint_id, partner_id): (EndpointId, PartnerId),
        kind: EventKind,
        body: String,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id,
            endpoint_id,
            partner_id,
            kind,
            body,
            status: DeliveryStatus::Pending,
            attempts: 0,
            tries: 0,
            last_answer: None,
            due_at: Some(now),
            created_at: now,
            delivered_at: None,
            ended_at: None,
        }
    }

    /// Whether an endpoint that is disabled since a time gets it all the same, for somebody has asked for it: a
    /// test, or a delivery that was begun anew since then.
    #[must_use]
    pub fn is_for_disabled(&self, since: OffsetDateTime) -> bool {
        let is_new = self.tries == 0 && self.due_at.is_some_and(|due| due > since);
        is_new || self.kind == EventKind::Test
    }

    /// Writes down what an attempt brought; `random` stretches the pause before the next.
    pub fn record(
        &mut self,
        reception: SendOutcome,
        now: OffsetDateTime,
        random: u32,
    ) -> AttemptOutcome {
        let answer = answer(reception, now);
        let attempted = self.consequence(answer.status_code, now, random);
        self.last_answer = Some(answer);
        attempted
    }

    /// Writes down what an attempt brought at a URL that is the endpoint's no longer. That a receiver is gone
    /// there says nothing of the one at the new URL, so it is a failure as any other.
    pub fn record_from_old_url(
        &mut self,
        reception: SendOutcome,
        now: OffsetDateTime,
        random: u32,
    ) -> AttemptOutcome {
        let mut answer = answer(reception, now);
        let status_code = answer.status_code.filter(|&status| status != GONE);
        let attempted = self.consequence(status_code, now, random);
        if answer.status_code == Some(GONE) {
            answer.error = Some(GONE_FROM_OLD_URL.to_owned());
        }
        self.last_answer = Some(answer);
        attempted
    }

    fn consequence(
        &mut self,
        status_code: Option<u16>,
        now: OffsetDateTime,
        random: u32,
    ) -> AttemptOutcome {
        self.attempts = self.attempts.saturating_add(1);
        self.tries = self.tries.saturating_add(1);
        match status_code {
            Some(200..=299) => {
                self.end(DeliveryStatus::Delivered, now);
                self.delivered_at = Some(now);
                AttemptOutcome::Delivered
            }
            Some(GONE) => {
                self.end(DeliveryStatus::Failed, now);
                AttemptOutcome::Gone
            }
            Some(_) | None => {
                // Whoever asks for a test is there to see how it went; and what was given up while it
                // was on its way stays so.
                let goes_on = self.kind != EventKind::Test && self.due_at.is_some();
                let pause = retry_delay(self.tries, random).filter(|_| goes_on);
                if let Some(pause) = pause {
                    self.due_at = Some(now + pause);
                    AttemptOutcome::Retry
                } else {
                    self.end(DeliveryStatus::Failed, now);
                    AttemptOutcome::Exhausted
                }
            }
        }
    }

    const fn end(&mut self, status: DeliveryStatus, now: OffsetDateTime) {
        self.status = status;
        self.due_at = None;
        self.ended_at = Some(now);
    }

    /// Has the message sent once more, from the beginning of the schedule.
    pub const fn again(&mut self, now: OffsetDateTime) {
        self.status = DeliveryStatus::Pending;
        self.tries = 0;
        self.due_at = Some(now);
        self.ended_at = None;
    }
}

fn answer(reception: SendOutcome, at: OffsetDateTime) -> LastAnswer {
    match reception {
        SendOutcome::NoResponse(error) => LastAnswer {
            at,
            status_code: None,
            excerpt: None,
            error: Some(excerpt(&error)),
        },
        SendOutcome::Response { status_code, body } => LastAnswer {
            at,
            status_code: Some(status_code),
            excerpt: Some(excerpt(&body)),
            error: fault_of(status_code),
        },
    }
}

/// What is wrong with a status, if anything is.
fn fault_of(status_code: u16) -> Option<String> {
    let explanation = match status_code {
        200..=299 => return None,
        300..=399 => "redirects are not followed; make an endpoint of the address that it leads to",
        GONE => "the receiver says that it is gone, so the endpoint is disabled",
        _ => "a message counts as taken when the answer is 2xx",
    };
    Some(format!("answered {status_code}: {explanation}"))
}

#[cfg(test)]
mod tests;
