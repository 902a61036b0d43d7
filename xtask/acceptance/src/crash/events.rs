//! The audit log against the calls: what must be recorded, and what must not.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::caller::{Call, Outcome};

/// What of an event is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    id: String,
    action: String,
    outcome: String,
    status: Option<u64>,
    /// The id of its target.
    pub(crate) target: Option<String>,
}

/// All events that were ever read of one set of data.
#[derive(Default)]
pub(crate) struct AuditLog {
    by_request: HashMap<String, Event>,
    /// How often the system says that it did something with an org.
    system: BTreeMap<(String, String), Vec<String>>,
    new: Vec<String>,
}

impl AuditLog {
    /// Adds an event as the server shows it. It may come more than once, for lists overlap.
    pub(crate) fn add(&mut self, event: &Value, findings: &mut Vec<String>) {
        let text = |pointer: &str| {
            let value = event.pointer(pointer);
            value.and_then(Value::as_str).map(str::to_owned)
        };
        let seen = Event {
            id: text("/id").unwrap_or_default(),
            action: text("/action").unwrap_or_default(),
            outcome: text("/outcome").unwrap_or_default(),
            status: event.pointer("/status_code").and_then(Value::as_u64),
            target: text("/target/id"),
        };
        if text("/actor/type").as_deref() == Some("system") {
            let ids = self
                .system
                .entry((seen.target.unwrap_or_default(), seen.action))
                .or_default();
            if !ids.contains(&seen.id) {
                ids.push(seen.id);
            }
            return;
        }
        let Some(request) = text("/request_id") else {
            findings.push(format!("an event without a request: {event}"));
            return;
        };
        match self.by_request.get(&request) {
            None => {
                self.new.push(request.clone());
                self.by_request.insert(request, seen);
            }
            Some(known) if *known == seen => {}
            Some(known) => findings.push(format!("two events of one call: {known:?}, {seen:?}")),
        }
    }

    /// How often the system did something with an org.
    pub(crate) fn system(&self, org: &str, action: &str) -> usize {
        let key = (org.to_owned(), action.to_owned());
        self.system.get(&key).map_or(0, Vec::len)
    }

    /// Orgs with which the system did more than once what can be done once.
    pub(crate) fn done_twice(&self) -> impl Iterator<Item = String> {
        let twice = self.system.iter().filter(|((_, action), ids)| {
            ["org.provisioned", "org.deleted"].contains(&action.as_str()) && ids.len() > 1
        });
        twice.map(|((org, action), ids)| format!("{action} of {org} {} times", ids.len()))
    }

    /// Compares one call with its event; gives the event when it says that the change was done.
    pub(crate) fn compare(&self, call: &Call, findings: &mut Vec<String>) -> Option<&Event> {
        let found = self.by_request.get(&call.request_id);
        let (named, status) = match &call.outcome {
            Outcome::Answered { status, event, .. } => (event.as_ref(), Some(*status)),
            Outcome::Unavailable { event } => (event.as_ref(), event.is_some().then_some(503)),
            Outcome::Unanswered => (None, None),
        };
        let expect = named.zip(status).map(|(id, status)| Event {
            id: id.clone(),
            action: call.action.to_owned(),
            outcome: outcome_of(status).to_owned(),
            status: Some(status.into()),
            target: found.and_then(|event| event.target.clone()),
        });
        let answered = matches!(call.outcome, Outcome::Answered { .. });
        if answered && named.is_none() {
            findings.push(format!("an answer that names no event: {call:?}"));
        } else if expect.is_some() && found != expect.as_ref() {
            findings.push(format!(
                "the event of a call is another: {call:?}: {found:?}"
            ));
        } else if let Some(event) = found
            && event.action != call.action
        {
            findings.push(format!("the event of another action: {call:?}: {event:?}"));
        }
        found.filter(|event| event.outcome == "success")
    }

    /// The new events that belong to no call of these.
    pub(crate) fn unknown(&mut self, calls: &[&Call]) -> Vec<String> {
        let known: HashMap<&str, ()> = calls
            .iter()
            .map(|call| (call.request_id.as_str(), ()))
            .collect();
        std::mem::take(&mut self.new)
            .into_iter()
            .filter(|request| !known.contains_key(request.as_str()))
            .map(|request| format!("an event of no call: {:?}", self.by_request.get(&request)))
            .collect()
    }
}

const fn outcome_of(status: u16) -> &'static str {
    match status {
        0..400 => "success",
        400..500 => "denied",
        500.. => "failed",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::json;

    use super::*;

    fn event(id: &str, request: &str, status: u16) -> Value {
        json!({
            "id": id, "action": "org.create", "outcome": outcome_of(status), "status_code": status,
            "actor": {"type": "partner_key"}, "target": {"id": "org_1"}, "request_id": request,
        })
    }

    fn call(outcome: Outcome) -> Call {
        Call {
            request_id: "r".to_owned(),
            action: "org.create",
            change: None,
            retry: None,
            outcome,
            at: Instant::now(),
        }
    }

    fn answer(event: Option<&str>) -> Outcome {
        Outcome::Answered {
            status: 201,
            event: event.map(str::to_owned),
            created: None,
        }
    }

    #[track_caller]
    fn check(events: &[Value], outcome: Outcome, right: bool) {
        let (mut log, mut findings) = (AuditLog::default(), Vec::new());
        for event in events {
            log.add(event, &mut findings);
        }
        let call = call(outcome);
        log.compare(&call, &mut findings);
        findings.extend(log.unknown(&[&call]));
        assert_eq!(findings.is_empty(), right, "{findings:?}");
    }

    #[test]
    fn an_answer_has_exactly_the_event_that_it_names() {
        check(&[event("evt_1", "r", 201)], answer(Some("evt_1")), true);
        check(&[], answer(Some("evt_1")), false);
        check(&[event("evt_2", "r", 201)], answer(Some("evt_1")), false);
        check(&[event("evt_1", "r", 409)], answer(Some("evt_1")), false);
        check(&[event("evt_1", "r", 201)], answer(None), false);
        let twice = [event("evt_1", "r", 201), event("evt_2", "r", 201)];
        check(&twice, answer(Some("evt_1")), false);
        let overlap = [event("evt_1", "r", 201), event("evt_1", "r", 201)];
        check(&overlap, answer(Some("evt_1")), true);
    }

    #[test]
    fn a_call_without_an_answer_has_one_event_at_the_most() {
        check(&[], Outcome::Unanswered, true);
        check(&[event("evt_1", "r", 201)], Outcome::Unanswered, true);
        let twice = [event("evt_1", "r", 201), event("evt_2", "r", 503)];
        check(&twice, Outcome::Unanswered, false);
        check(&twice, Outcome::Unavailable { event: None }, false);
    }

    #[test]
    fn an_event_of_no_call_is_found() {
        check(&[event("evt_1", "other", 201)], Outcome::Unanswered, false);
    }
}
