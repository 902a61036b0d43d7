//! One set of data, the servers that come and go on it, and the comparison of what was answered with
//! what is there.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
    thread,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::{
    http::Response,
    random::SeededRandom,
    server::{ADMIN_KEY, Server, Setup, unlimited},
};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    caller::{Call, Caller, Change, Outcome, Request, Retry},
    disk::Disk,
    events::AuditLog,
    load::{Held, Progress, Roles, Worker},
    model::Model,
    observed::{Expected, Listed, Observed, pages},
};

/// How many work at once.
const WORKERS: u64 = 6;
/// By how much lists of events overlap: what the system did while the last one was read may have been
/// committed behind it.
const OVERLAP: Duration = Duration::milliseconds(200);
/// For how many keys, those that called the most, the list of their own events is compared with that of
/// all.
const KEYS_LOOKED_UP: usize = 3;
/// How many answered creations are sent again after each round.
const MAX_SENT_AGAIN: usize = 3;

/// What was compared.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) answered: usize,
    pub(crate) unavailable: usize,
    pub(crate) unanswered: usize,
    /// Unanswered calls, or those answered with 503, whose event says that they were carried out.
    pub(crate) carried_out: usize,
    pub(crate) events: usize,
    pub(crate) sent_again: usize,
}

/// One set of data with a server on it.
pub(crate) struct Scenario {
    pub(crate) setup: Setup,
    /// The disk under the data, when its power is to fail.
    pub(crate) disk: Option<Disk>,
    pub(crate) server: Server,
    /// What was found so far.
    pub(crate) findings: Vec<String>,
    pub(crate) tally: Tally,
    model: Model,
    log: AuditLog,
    held: Vec<Held>,
    roles: Roles,
    /// Calls that are not compared yet.
    calls: Vec<Call>,
    since: String,
    observed: Observed,
    rounds: usize,
}

impl Scenario {
    /// Starts a server on new data and makes a partner with two keys.
    pub(crate) fn new(setup: Setup, disk: Option<Disk>) -> Result<Self> {
        let since = now(OVERLAP)?;
        let server = start(&setup, disk.as_ref())?;
        let mut caller = Caller::new(server.address, "first".to_owned());
        let body = json!({"name": "Partner", "plan": "enterprise"}).to_string();
        let partner = post(
            &mut caller,
            "/cp/admin/partners",
            "partner.create",
            &body,
            None,
        )?;
        let partner = partner.text("/id").context("no id")?;
        let mut key = |name: &str, scopes: Value| {
            let body = json!({
                "name": name, "partner_id": partner, "scopes": scopes, "rate_limit": unlimited(),
            });
            let change = Change::NewKey {
                name: name.to_owned(),
            };
            let path = "/cp/admin/partner-keys";
            let created = post(
                &mut caller,
                path,
                "key.create",
                &body.to_string(),
                Some(change),
            )?;
            created.text("/key").context("no key")
        };
        let able = key("able", json!(["orgs:create", "orgs:list", "orgs:delete"]))?;
        let unable = key("unable", json!(["orgs:list"]))?;
        let calls = caller.calls;
        Ok(Self {
            roles: Roles {
                partner,
                able,
                unable,
            },
            setup,
            disk,
            server,
            findings: Vec::new(),
            tally: Tally::default(),
            model: Model::default(),
            log: AuditLog::default(),
            held: Vec::new(),
            calls,
            since,
            observed: Observed::default(),
            rounds: 0,
        })
    }

    /// Has the workers work while `meanwhile` goes on, which sees how far they are; they
    /// end with it, or with the server.
    pub(crate) fn work<T>(
        &mut self,
        seed: u64,
        outage: bool,
        meanwhile: impl FnOnce(&mut Server, &Progress) -> Result<T>,
    ) -> Result<(T, Vec<Call>)> {
        self.rounds += 1;
        let mut held = std::mem::take(&mut self.held).into_iter();
        let mut workers: Vec<Worker> = (0..WORKERS)
            .map(|n| {
                let caller = Caller::new(self.server.address, format!("{}-w{n}", self.rounds));
                let random = SeededRandom::stream(seed, n + 1);
                let held = held.next().unwrap_or_default();
                Worker::new(caller, random, self.roles.clone(), held, outage)
            })
            .collect();
        let progress = Progress::default();
        let server = &mut self.server;
        let ended = thread::scope(|scope| {
            for worker in &mut workers {
                scope.spawn(|| worker.work(&progress));
            }
            let ended = meanwhile(server, &progress);
            progress.stop.store(true, Ordering::Relaxed);
            ended
        })?;
        let mut calls = Vec::new();
        for mut worker in workers {
            calls.append(&mut worker.caller.calls);
            self.findings.append(&mut worker.findings);
            self.held.push(worker.into_held());
        }
        self.calls.extend(calls.iter().cloned());
        Ok((ended, calls))
    }

    /// Kills the server and starts another.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.server.kill()?;
        self.server = start(&self.setup, self.disk.as_ref())?;
        Ok(())
    }

    /// Compares all calls so far with what is recorded and what is there, and sends some again.
    pub(crate) fn compare(&mut self, everything: bool) -> Result<()> {
        ensure!(self.server.is_running()?, "the server has ended by itself");
        let calls = std::mem::take(&mut self.calls);
        let mut caller = Caller::new(
            self.server.address,
            format!("{}-check{everything}", self.rounds),
        );
        // States are asked for before events: what the reconciler does between the two has its event.
        let listed = self.observed.list(&mut caller, everything)?;
        let since = now(OVERLAP)?;
        self.read_events(&mut caller)?;
        self.since = since;
        let retries = self.apply(&calls);
        let known: Vec<&Call> = calls.iter().chain(&caller.calls).collect();
        self.findings.extend(self.log.unknown(&known));
        self.findings.extend(self.log.done_twice());
        self.read_system_events(&mut caller, &listed)?;
        let mut expected = Expected {
            model: &mut self.model,
            findings: &mut self.findings,
        };
        expected.compare(&mut caller, &listed, everything)?;
        self.send_again(&mut caller, &retries)?;
        self.calls = caller.calls;
        Ok(())
    }

    /// Reads all events since the last time.
    fn read_events(&mut self, caller: &mut Caller) -> Result<()> {
        let path = format!("/cp/admin/audit-events?since={}&", self.since);
        let mut by_key: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for event in pages(caller, &path, "audit.list", |_| true)? {
            self.tally.events += 1;
            self.log.add(&event, &mut self.findings);
            let text = |pointer| event.pointer(pointer).and_then(Value::as_str);
            if let (Some("partner_key"), Some(key), Some(id)) =
                (text("/actor/type"), text("/actor/id"), text("/id"))
            {
                by_key
                    .entry(key.to_owned())
                    .or_default()
                    .insert(id.to_owned());
            }
        }
        self.look_up(caller, by_key)
    }

    /// Sees that the list of all events and those by a key, which are found by an index, have the same.
    fn look_up(
        &mut self,
        caller: &mut Caller,
        by_key: BTreeMap<String, BTreeSet<String>>,
    ) -> Result<()> {
        let mut keys: Vec<_> = by_key.into_iter().collect();
        keys.sort_unstable_by_key(|(_, events)| Reverse(events.len()));
        for (key, mut events) in keys.into_iter().take(KEYS_LOOKED_UP) {
            let path = format!("/cp/admin/audit-events?key_id={key}&since={}&", self.since);
            for event in pages(caller, &path, "audit.list", |_| true)? {
                let id = event.pointer("/id").and_then(Value::as_str);
                events.remove(id.unwrap_or_default());
            }
            if let Some(event) = events.first() {
                let missing = events.len();
                self.findings.push(format!(
                    "{missing} events by {key} are not found, as {event}"
                ));
            }
        }
        Ok(())
    }

    /// Sees that what the reconciler did is recorded once. Its events tell when it began, which can be
    /// long before the commit, so those that seem to be missing are asked for by org.
    fn read_system_events(&mut self, caller: &mut Caller, listed: &Listed) -> Result<()> {
        for org in listed.unrecorded(&self.log) {
            let path = format!("/cp/admin/audit-events?org_id={org}&");
            for event in pages(caller, &path, "audit.list", |_| true)? {
                if event.pointer("/actor/type").and_then(Value::as_str) == Some("system") {
                    self.log.add(&event, &mut self.findings);
                }
            }
        }
        for org in listed.unrecorded(&self.log) {
            self.findings
                .push(format!("what was done with {org} is not recorded once"));
        }
        Ok(())
    }

    /// Compares each call with its event and notes what was changed. Gives the creations to be sent
    /// again, each with whether it was carried out.
    fn apply(&mut self, calls: &[Call]) -> Vec<(Retry, bool)> {
        let mut retries = Vec::new();
        let mut answered = 0;
        for call in calls {
            let event = self.log.compare(call, &mut self.findings);
            let (done, created) = match &call.outcome {
                Outcome::Answered {
                    status, created, ..
                } => {
                    self.tally.answered += 1;
                    (*status < 300, created.clone())
                }
                Outcome::Unavailable { .. } => {
                    self.tally.unavailable += 1;
                    (
                        event.is_some(),
                        event.and_then(|event| event.target.clone()),
                    )
                }
                Outcome::Unanswered => {
                    self.tally.unanswered += 1;
                    (
                        event.is_some(),
                        event.and_then(|event| event.target.clone()),
                    )
                }
            };
            let silent = !matches!(call.outcome, Outcome::Answered { .. });
            self.tally.carried_out += usize::from(silent && done && call.change.is_some());
            if let Some(change) = call.change.as_ref().filter(|_| done)
                && let Err(finding) = self.model.apply(change, created.as_deref())
            {
                self.findings.push(format!("{finding}: {call:?}"));
            }
            let sample =
                matches!(call.change, Some(Change::NewOrg { .. })) && answered < MAX_SENT_AGAIN;
            if let Some(retry) = call.retry.as_ref().filter(|_| silent || sample) {
                answered += usize::from(!silent);
                retries.push((retry.clone(), done));
            }
        }
        retries
    }

    /// Sends creations again: what was carried out is answered as then, the rest is carried out now.
    fn send_again(&mut self, caller: &mut Caller, retries: &[(Retry, bool)]) -> Result<()> {
        for (retry, done) in retries {
            self.tally.sent_again += 1;
            let change = if retry.path == "/cp/orgs" {
                Change::NewOrg {
                    slug: retry.idempotency_key.clone(),
                }
            } else {
                Change::NewKey {
                    name: retry.idempotency_key.clone(),
                }
            };
            let action = if retry.path == "/cp/orgs" {
                "org.create"
            } else {
                "key.create"
            };
            let answer = caller.send(Request {
                method: "POST",
                path: retry.path,
                bearer: &retry.bearer,
                body: &retry.body,
                action,
                change: Some(change),
                retry: Some(retry.clone()),
            });
            let answer = answer.context("no answer to a call that is sent again")?;
            let replayed = answer.header("idempotency-replayed") == Some("true");
            if answer.status != 201 || replayed != *done {
                self.findings.push(format!(
                    "{} sent again, carried out before: {done}: {answer:?}",
                    retry.idempotency_key
                ));
            }
        }
        Ok(())
    }
}

/// Starts a server, under the eyes of the disk if there is one.
fn start(setup: &Setup, disk: Option<&Disk>) -> Result<Server> {
    Ok(match disk {
        Some(disk) => setup.start_by(disk.watch(&setup.data, &setup.program)?)?,
        None => setup.start()?,
    })
}

fn post(
    caller: &mut Caller,
    path: &str,
    action: &'static str,
    body: &str,
    change: Option<Change>,
) -> Result<Response> {
    let answer = caller.send(Request {
        method: "POST",
        path,
        bearer: ADMIN_KEY,
        body,
        action,
        change,
        retry: None,
    });
    let answer = answer.context("no answer")?;
    ensure!(answer.status == 201, "{path}: {answer:?}");
    Ok(answer)
}

/// A time before now, as a query takes it.
fn now(before: Duration) -> Result<String> {
    Ok((OffsetDateTime::now_utc() - before).format(&Rfc3339)?)
}

/// The calls that were answered with 503 later than this.
pub(crate) fn unavailable_after(calls: &[Call], at: Instant) -> usize {
    calls
        .iter()
        .filter(|call| call.at > at && matches!(call.outcome, Outcome::Unavailable { .. }))
        .count()
}
