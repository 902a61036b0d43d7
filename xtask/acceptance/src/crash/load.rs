//! Those who work on the server: reads, writes and refused calls, in an order that the seed decides.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;
use testkit::{
    http::Response,
    random::SeededRandom,
    server::{ADMIN_KEY, unlimited},
};

use super::caller::{Caller, Change, Request, Retry};

/// How many orgs and keys a worker keeps to work with.
const MAX_HELD: usize = 12;
/// How long a worker pauses after the server could not answer.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// What all workers share.
#[derive(Clone)]
pub(crate) struct Roles {
    /// The partner whose everything is.
    pub(crate) partner: String,
    /// A key of the partner with all scopes that are needed here.
    pub(crate) able: String,
    /// A key of the partner that can list orgs and nothing else.
    pub(crate) unable: String,
}

/// An org that a worker works with.
struct HeldOrg {
    id: String,
    status: &'static str,
}

/// A key that a worker works with.
struct HeldKey {
    id: String,
    secret: String,
}

/// How far all workers are.
#[derive(Default)]
pub(crate) struct Progress {
    /// That it is enough.
    pub(crate) stop: AtomicBool,
    /// How often the answer was 503.
    pub(crate) unavailable: AtomicUsize,
    /// How much was answered otherwise.
    pub(crate) answered: AtomicUsize,
}

/// One who works until the server is gone.
pub(crate) struct Worker {
    pub(crate) caller: Caller,
    random: SeededRandom,
    roles: Roles,
    orgs: VecDeque<HeldOrg>,
    keys: VecDeque<HeldKey>,
    /// Answers that should not have been.
    pub(crate) findings: Vec<String>,
    /// Whether 503 is an answer that must be expected.
    outage: bool,
    unavailable: usize,
}

/// What a worker carries from round to round.
#[derive(Default)]
pub(crate) struct Held {
    orgs: VecDeque<HeldOrg>,
    keys: VecDeque<HeldKey>,
}

impl Worker {
    pub(crate) fn new(
        caller: Caller,
        random: SeededRandom,
        roles: Roles,
        held: Held,
        outage: bool,
    ) -> Self {
        Self {
            caller,
            random,
            roles,
            orgs: held.orgs,
            keys: held.keys,
            findings: Vec::new(),
            outage,
            unavailable: 0,
        }
    }

    /// Works until there is no answer, or it is told to stop.
    pub(crate) fn work(&mut self, progress: &Progress) {
        while !progress.stop.load(Ordering::Relaxed) {
            let ended = self.step().is_none();
            let met = std::mem::take(&mut self.unavailable);
            progress.unavailable.fetch_add(met, Ordering::Relaxed);
            let good = usize::from(met == 0 && !ended);
            progress.answered.fetch_add(good, Ordering::Relaxed);
            if ended {
                return;
            }
        }
    }

    /// What is left to go on with.
    pub(crate) fn into_held(self) -> Held {
        Held {
            orgs: self.orgs,
            keys: self.keys,
        }
    }

    fn step(&mut self) -> Option<()> {
        match self.random.below(20) {
            0..=2 => self.new_org(false),
            3..=5 => self.new_org(true),
            6..=7 => self.new_key(),
            8..=10 => self.poll(),
            11 => self.list(),
            12..=13 => self.suspend_or_resume(),
            14 => self.delete(),
            15 => self.revoke(),
            16 => self.refused_scope(),
            17 => self.not_there(),
            18 => self.refused_value(),
            _ => self.whoami(),
        }
    }

    /// Sends a call; `Some(None)` when the server could not answer it now.
    fn send(&mut self, request: Request<'_>, expect: &[u16]) -> Option<Option<Response>> {
        let asked = format!("{} {}", request.method, request.path);
        let response = self.caller.send(request)?;
        if response.status == 503 && self.outage {
            self.unavailable += 1;
            let retry_after = response.header("retry-after");
            let retry_after = retry_after.and_then(|value| value.parse::<u32>().ok());
            if retry_after.is_none() || response.text("/code").as_deref() != Some("unavailable") {
                self.findings.push(format!(
                    "{asked}: 503 without Retry-After or code: {response:?}"
                ));
            }
            thread::sleep(RETRY_INTERVAL);
            return Some(None);
        }
        if !expect.contains(&response.status) {
            let (status, body) = (response.status, &response.body);
            self.findings
                .push(format!("{asked}: {status} and not {expect:?}: {body}"));
            return Some(None);
        }
        Some(Some(response))
    }

    fn new_org(&mut self, idempotent: bool) -> Option<()> {
        let slug = format!("o{}", self.caller.unique());
        let plan = ["free", "standard"].get(self.random.below(2)).copied();
        let body = json!({"name": "An org", "slug": slug, "plan": plan}).to_string();
        let bearer = self.roles.able.clone();
        let request = Request {
            method: "POST",
            path: "/cp/orgs",
            bearer: &bearer,
            body: &body,
            action: "org.create",
            change: Some(Change::NewOrg { slug: slug.clone() }),
            retry: idempotent.then(|| Retry {
                path: "/cp/orgs",
                bearer: bearer.clone(),
                idempotency_key: slug,
                body: body.clone(),
            }),
        };
        if let Some(answer) = self.send(request, &[201])? {
            self.orgs.push_back(HeldOrg {
                id: answer.text("/id").unwrap_or_default(),
                status: "provisioning",
            });
            if self.orgs.len() > MAX_HELD {
                self.orgs.pop_front();
            }
        }
        Some(())
    }

    fn new_key(&mut self) -> Option<()> {
        let name = format!("k{}", self.caller.unique());
        let partner = &self.roles.partner;
        let body = json!({
            "name": name, "partner_id": partner, "scopes": ["orgs:list"], "rate_limit": unlimited(),
        })
        .to_string();
        let request = Request {
            method: "POST",
            path: "/cp/admin/partner-keys",
            bearer: ADMIN_KEY,
            body: &body,
            action: "key.create",
            change: Some(Change::NewKey { name: name.clone() }),
            retry: (self.random.below(2) == 0).then(|| Retry {
                path: "/cp/admin/partner-keys",
                bearer: ADMIN_KEY.to_owned(),
                idempotency_key: name,
                body: body.clone(),
            }),
        };
        if let Some(answer) = self.send(request, &[201])? {
            self.keys.push_back(HeldKey {
                id: answer.text("/id").unwrap_or_default(),
                secret: answer.text("/key").unwrap_or_default(),
            });
            if self.keys.len() > MAX_HELD {
                self.keys.pop_front();
            }
        }
        Some(())
    }

    /// Polls an org's status, which is also how the worker learns that it is ready.
    fn poll(&mut self) -> Option<()> {
        let Some(mut org) = self.orgs.pop_front() else {
            return self.list();
        };
        let path = format!("/cp/orgs/{}/status", org.id);
        let bearer = self.roles.able.clone();
        let answer = self.send(Request::get(&path, &bearer, "org.status"), &[200])?;
        let status = answer.and_then(|answer| answer.text("/status"));
        if status.as_deref() == Some("ready") && org.status == "provisioning" {
            org.status = "ready";
        }
        self.orgs.push_back(org);
        Some(())
    }

    fn list(&mut self) -> Option<()> {
        let bearer = self.roles.able.clone();
        self.send(
            Request::get("/cp/orgs?limit=5", &bearer, "org.list"),
            &[200],
        )?;
        Some(())
    }

    /// Suspends an org that is ready, or resumes one that is suspended. One of which no answer tells
    /// what became is not worked with again.
    fn suspend_or_resume(&mut self) -> Option<()> {
        let Some(at) = self
            .orgs
            .iter()
            .position(|org| org.status != "provisioning")
        else {
            return self.poll();
        };
        let org = self.orgs.remove(at)?;
        let (verb, action, status, change) = if org.status == "ready" {
            let org = org.id.clone();
            (
                "suspend",
                "org.suspend",
                "suspended",
                Change::Suspend { org },
            )
        } else {
            let org = org.id.clone();
            ("resume", "org.resume", "ready", Change::Resume { org })
        };
        let path = format!("/cp/admin/orgs/{}/{verb}", org.id);
        let request = Request {
            method: "POST",
            path: &path,
            bearer: ADMIN_KEY,
            body: "",
            action,
            change: Some(change),
            retry: None,
        };
        if self.send(request, &[200])?.is_some() {
            self.orgs.push_back(HeldOrg { id: org.id, status });
        }
        Some(())
    }

    fn delete(&mut self) -> Option<()> {
        let Some(org) = self.orgs.pop_front() else {
            return self.list();
        };
        let path = format!("/cp/orgs/{}", org.id);
        let bearer = self.roles.able.clone();
        let request = Request {
            method: "DELETE",
            path: &path,
            bearer: &bearer,
            body: "",
            action: "org.delete",
            change: Some(Change::Delete { org: org.id }),
            retry: None,
        };
        self.send(request, &[202])?;
        Some(())
    }

    /// Revokes a key and sees at once that it is refused.
    fn revoke(&mut self) -> Option<()> {
        let Some(key) = self.keys.pop_front() else {
            return self.new_key();
        };
        let path = format!("/cp/admin/partner-keys/{}", key.id);
        let request = Request {
            method: "DELETE",
            path: &path,
            bearer: ADMIN_KEY,
            body: "",
            action: "key.revoke",
            change: Some(Change::Revoke { key: key.id }),
            retry: None,
        };
        if self.send(request, &[204])?.is_some() {
            let request = Request::get("/cp/whoami", &key.secret, "credential.read");
            self.send(request, &[401])?;
        }
        Some(())
    }

    fn refused_scope(&mut self) -> Option<()> {
        let bearer = self.roles.unable.clone();
        self.refused_org(&bearer, "free", 403)
    }

    fn refused_value(&mut self) -> Option<()> {
        let bearer = self.roles.able.clone();
        self.refused_org(&bearer, "no-such-plan", 422)
    }

    /// Asks for an org that can't be had.
    fn refused_org(&mut self, bearer: &str, plan: &str, status: u16) -> Option<()> {
        let slug = format!("x{}", self.caller.unique());
        let body = json!({"name": "No org", "slug": slug, "plan": plan}).to_string();
        let request = Request {
            method: "POST",
            path: "/cp/orgs",
            bearer,
            body: &body,
            action: "org.create",
            change: None,
            retry: None,
        };
        self.send(request, &[status])?;
        Some(())
    }

    fn not_there(&mut self) -> Option<()> {
        let bearer = self.roles.able.clone();
        let path = "/cp/orgs/org_00000000000000000000000000";
        self.send(Request::get(path, &bearer, "org.read"), &[404])?;
        Some(())
    }

    fn whoami(&mut self) -> Option<()> {
        let bearer = match self.keys.front() {
            Some(key) => key.secret.clone(),
            None => self.roles.unable.clone(),
        };
        self.send(
            Request::get("/cp/whoami", &bearer, "credential.read"),
            &[200],
        )?;
        Some(())
    }
}
