//! What the server answers, compared with what it was given.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use ids::OrgId;
use serde_json::json;
use testkit::{
    http::{Client, Response},
    server::Server,
};

use super::Created;
use crate::parallel::in_parts;

/// How many answers there were.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) answers: usize,
    pub(super) wrong: usize,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.answers = self.answers.saturating_add(other.answers);
        self.wrong = self.wrong.saturating_add(other.wrong);
    }

    fn note(&mut self, is_right: bool) {
        self.answers = self.answers.saturating_add(1);
        self.wrong = self.wrong.saturating_add(usize::from(!is_right));
    }
}

/// Whoever asks for what was created.
pub(super) struct Checker<'a> {
    clients: Vec<Client>,
    created: &'a [Created],
    is_stopped: AtomicBool,
}

impl<'a> Checker<'a> {
    pub(super) fn new(server: &Server, keys: &[String], created: &'a [Created]) -> Self {
        Self {
            clients: keys.iter().map(|key| server.client(key)).collect(),
            created,
            is_stopped: AtomicBool::new(false),
        }
    }

    /// Calls once by each key.
    pub(super) fn use_keys(&self) -> Result<()> {
        for client in &self.clients {
            client.get("/cp/whoami")?.expect(200)?;
        }
        Ok(())
    }

    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Asks for everything in turn, from another place for each reader, until stopped.
    pub(super) fn check_until_stopped(&self, place: usize) -> Result<Counts> {
        let mut counts = Counts::default();
        // A prime, so that a reader sees what is resealed early and late, and no two read the same.
        let places = (place..).step_by(7919);
        for n in places.take_while(|_| !self.is_stopped.load(Ordering::SeqCst)) {
            let created = self.created.get(n % self.created.len());
            self.check(created.context("no org")?, &mut counts)?;
        }
        Ok(counts)
    }

    /// Asks for the secrets and the stored response of every org, once.
    pub(super) fn check_all(&self, clients: usize) -> Result<Counts> {
        let each = in_parts(self.created.len(), clients, |n| {
            let mut counts = Counts::default();
            self.check(self.created.get(n).context("no org")?, &mut counts)?;
            Ok(counts)
        })?;
        Ok(each.into_iter().fold(Counts::default(), |mut sum, counts| {
            sum.add(counts);
            sum
        }))
    }

    fn check(&self, created: &Created, counts: &mut Counts) -> Result<()> {
        let client = self.clients.get(created.key).context("no key")?;
        let secrets = client.get(&format!("/cp/orgs/{}/secrets", created.id))?;
        let password = secrets.text("/secrets/password");
        counts.note(password == Some(self::password(created.id)));
        let replayed = create(client, &created.slug)?;
        let is_replayed = replayed.header("idempotency-replayed") == Some("true");
        counts.note(is_replayed && replayed.body == created.response);
        Ok(())
    }
}

/// Creates an org, or has the response to that repeated.
pub(super) fn create(client: &Client, slug: &str) -> Result<Response> {
    let body = json!({"name": "reseal", "slug": slug, "plan": "free"}).to_string();
    let once = [("idempotency-key", slug)];
    Ok(client.call("POST", "/cp/orgs", &once, &body)?)
}

/// The password of an org.
pub(super) fn password(id: OrgId) -> String {
    format!("hunter2-{id}")
}
