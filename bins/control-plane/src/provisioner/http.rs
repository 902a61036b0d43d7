//! The provisioner `http`: a service of the operator's, which gets a signed message for each attempt.
//!
//! The messages are those of Standard Webhooks 1.0.0; `webhook-id` is the same for every attempt at one
//! step of one org, and another one for each of its changes. The service may have an internal address: the
//! operator has configured it.

use std::time::Duration;

use anyhow::Context as _;
use api::Time;
use ids::TypedId as _;
use orgs::{MAX_ANSWER, ProvisionError, ProvisionOutput, ProvisionRequest, SecretMask, Verb};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::timeout;
use webhooks::{AddressPolicy, EndpointUrl, Message, OutgoingMessage, WebhookSecret};

use super::{failed, handed_back, message::ProvisionedOrg, reason::clean, retry, trust};
use crate::{
    settings::HttpSettings,
    traces::Tracer,
    webhooks::{BodyLimits, HttpSender, Received},
};

pub struct Http {
    sender: HttpSender,
    url: EndpointUrl,
    secret: WebhookSecret,
    timeout: Duration,
    at_once: usize,
    login_url: String,
}

/// A message to the service.
#[derive(Serialize)]
struct Request {
    #[serde(rename = "type")]
    kind: String,
    timestamp: Time,
    data: ProvisionedOrg,
}

/// The part of the response that is read: that of a problem document (RFC 9457).
#[derive(Default, Deserialize)]
struct Problem {
    detail: Option<String>,
}

impl Http {
    pub fn new(settings: &HttpSettings, login_url: &str, tracer: &Tracer) -> anyhow::Result<Self> {
        let roots = trust::roots(settings.ca_file.as_deref())?;
        Ok(Self {
            sender: HttpSender::trusting(AddressPolicy::Anywhere, roots)?
                .traced(tracer, "provision"),
            url: settings.url.clone(),
            secret: settings.secret.clone(),
            timeout: settings.timeout,
            at_once: settings.at_once,
            login_url: login_url.to_owned(),
        })
    }

    pub const fn at_once(&self) -> usize {
        self.at_once
    }

    /// Sends one message and waits for the response.
    ///
    /// Nothing stops it: the service can't be told to stop, and while this waits the lease is kept, so that no
    /// other worker asks the service for the same org. What it has made for an org that is to be deleted is
    /// deprovisioned next.
    pub async fn run(&self, request: &ProvisionRequest) -> Result<ProvisionOutput, ProvisionError> {
        let posting = match self.posting(request) {
            Ok(posting) => posting,
            Err(error) => {
                tracing::error!(org_id = %request.org.id, "serializing the message failed: {error:#}");
                return Err(failed(
                    "provisioner-failed",
                    "the message to the provisioner could not be serialized",
                ));
            }
        };
        // One byte more than is allowed tells that there is more.
        let limits = BodyLimits {
            bytes: MAX_ANSWER + 1,
            within: self.timeout,
        };
        let exchange = self.sender.exchange(&posting, limits);
        match timeout(self.timeout, exchange).await {
            Ok(Ok(received)) => verdict(request.verb, &request.known_secrets, &received),
            Ok(Err(why)) => Err(retry(
                "provisioner-unreachable",
                format!("the provisioner can't be reached: {}", clean(&why)),
            )),
            Err(_elapsed) => Err(retry(
                "provisioner-timeout",
                "timeout: no response from the provisioner",
            )),
        }
    }

    fn posting(&self, request: &ProvisionRequest) -> anyhow::Result<OutgoingMessage> {
        let now = OffsetDateTime::now_utc();
        let (verb, org) = (request.verb.as_str(), &request.org);
        let message = Request {
            kind: format!("org.{verb}"),
            timestamp: Time(now),
            data: ProvisionedOrg::new(request, &self.login_url),
        };
        let body = serde_json::to_string(&message).context("the org is not JSON")?;
        let mut id = format!("msg_{}_{verb}", org.id.ulid());
        if let Some(change) = &org.change {
            let micros = change.requested_at.unix_timestamp_nanos() / 1000;
            id = format!("{id}_{micros}");
        }
        let message = Message {
            id: &id,
            timestamp: now,
            body: body.as_bytes(),
        };
        Ok(OutgoingMessage {
            partner_id: org.partner_id,
            url: self.url.clone(),
            timestamp: message.timestamp_header(),
            signature: message.signature_header([&self.secret]),
            id,
            body,
        })
    }
}

fn verdict(
    verb: Verb,
    secrets: &SecretMask,
    received: &Received,
) -> Result<ProvisionOutput, ProvisionError> {
    let status_code = received.status_code;
    let problem: Problem = serde_json::from_slice(&received.body).unwrap_or_default();
    // A secret that is cut is not found any more, so what is long is cut last.
    let detail = problem.detail.map(|detail| clean(&secrets.apply(&detail)));
    let reason = detail
        .filter(|detail| !detail.is_empty())
        .unwrap_or_else(|| format!("the provisioner responded with status {status_code}"));
    match status_code {
        200..=299 if !received.is_whole && verb != Verb::Deprovision => Err(retry(
            "provisioner-unreachable",
            "the answer of the provisioner was cut off",
        )),
        200..=299 => handed_back(verb, &received.body),
        408 | 425 | 429 | 500..=599 => Err(retry("provisioner-busy", reason)),
        _ => Err(failed("provisioner-failed", reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status_code: u16, body: &str) -> Result<ProvisionOutput, ProvisionError> {
        let received = Received {
            status_code,
            body: body.into(),
            is_whole: true,
        };
        verdict(Verb::Provision, &SecretMask::default(), &received)
    }

    #[test]
    fn what_is_cut_off_is_asked_for_again_but_for_a_deletion() {
        let none = SecretMask::default();
        let cut = Received {
            status_code: 200,
            body: br#"{"secrets": {"#.to_vec(),
            is_whole: false,
        };
        let again = verdict(Verb::Rotate, &none, &cut);
        assert!(
            matches!(again, Err(ProvisionError::TryAgain(_))),
            "{again:?}"
        );
        assert!(verdict(Verb::Deprovision, &none, &cut).is_ok());
        let whole = Received {
            is_whole: true,
            ..cut
        };
        let failed = verdict(Verb::Provision, &none, &whole);
        assert!(
            matches!(failed, Err(ProvisionError::Failed(_))),
            "{failed:?}"
        );
        assert!(verdict(Verb::Deprovision, &none, &whole).is_ok());
    }

    fn tried_again(status_code: u16) -> Option<bool> {
        match answered(status_code, "") {
            Ok(_) => None,
            Err(ProvisionError::TryAgain(_)) => Some(true),
            Err(ProvisionError::Failed(_)) => Some(false),
            Err(ProvisionError::Interrupted) => panic!("{status_code}"),
        }
    }

    #[test]
    fn the_status_decides_what_becomes_of_the_org() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(tried_again(status), None, "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(tried_again(status), Some(true), "{status}");
        }
        for status in [300, 302, 304, 400, 401, 403, 404, 409, 410, 422, 451, 600] {
            assert_eq!(tried_again(status), Some(false), "{status}");
        }
    }

    #[track_caller]
    fn check(body: &str, reason: &str) {
        let error = answered(422, body).unwrap_err();
        assert_eq!(error.to_string(), reason, "{body}");
    }

    #[test]
    fn the_reason_is_the_detail_of_the_problem() {
        check(
            r#"{"detail": "no room in eu-1", "x": 1}"#,
            "no room in eu-1",
        );
        check(r#"{"detail": "a\u0000b\nc"}"#, "a b c");
        for body in [
            "",
            "no room",
            "[]",
            "{}",
            r#"{"detail": 7}"#,
            r#"{"detail": " "}"#,
        ] {
            check(body, "the provisioner responded with status 422");
        }
    }

    #[test]
    fn a_secret_is_hidden_also_where_the_reason_is_cut() {
        let mut secrets = SecretMask::default();
        secrets.add_answer(br#"{"secrets": {"password": "hunter2-hunter2"}}"#);
        let detail = format!("{}hunter2-hunter2 is wrong", "x".repeat(490));
        let body = serde_json::json!({ "detail": detail }).to_string();
        let received = Received {
            status_code: 422,
            body: body.into(),
            is_whole: true,
        };
        let failed = verdict(Verb::Rotate, &secrets, &received).unwrap_err();
        let reason = failed.to_string();
        assert!(
            reason.ends_with("x[redacted]") && !reason.contains("hunter"),
            "{reason}"
        );
    }
}
