//! The jobs of one pipeline.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde_json::json;
use testkit::{http::text, server::Server};

use super::{Args, figures::Figures};

/// More than the jobs ever have at once: what is measured is the counting, not the refusals.
const QUOTA: u32 = 10_000;

/// Runs all jobs with one key of a partner of its own.
pub(crate) fn run(server: &Server, args: &Args, quotas: bool) -> Result<Figures> {
    let quota = quotas.then_some(QUOTA);
    let request = json!({"name": "bench", "plan": "partner", "max_orgs": quota});
    let partner = server.admin().post("/cp/admin/partners", &request)?;
    let partner = partner.expect(201)?;
    let partner = text(&partner, "/id")?;
    let key = server.key(json!({
        "partner_id": partner, "max_live_orgs": quota,
        "scopes": ["orgs:create", "orgs:list", "orgs:delete"],
    }))?;
    let key = key.secret.as_str();
    // Slugs that nobody has had; a partner's id is one, but for its letters.
    let mark = partner.to_lowercase().replace("ptn_", "b");
    let mark = mark.get(..20).unwrap_or(&mark);
    let time = Duration::from_secs(args.seconds);
    let end = Instant::now() + time;
    let mut all = Figures::default();
    let done = thread::scope(|scope| {
        let job = |n| scope.spawn(move || job(server, key, &format!("{mark}-{n}"), end));
        let jobs: Vec<_> = (0..args.jobs).map(job).collect();
        jobs.into_iter().map(|job| job.join()).collect::<Vec<_>>()
    });
    for figures in done {
        let figures = figures.ok().context("a job has panicked")?;
        all.add(figures?);
    }
    all.ran(time);
    Ok(all)
}

/// Creates, waits and deletes until the end.
fn job(server: &Server, key: &str, mark: &str, end: Instant) -> Result<Figures> {
    let caller = server.client(key);
    let mut figures = Figures::default();
    let mut n = 0_u32;
    while Instant::now() < end {
        n = n.saturating_add(1);
        let org = json!({"name": "a job", "slug": format!("{mark}-{n}"), "plan": "free"});
        let began = Instant::now();
        let created = caller.post("/cp/orgs", &org)?;
        let Some(id) = created.text("/id").filter(|_| created.status == 201) else {
            figures.fail();
            continue;
        };
        figures.created(began.elapsed());
        // Held until the org is ready.
        let path = format!("/cp/orgs/{id}/status");
        let polled = caller.call("GET", &path, &[("prefer", "wait=20")], "")?;
        if polled.text("/status").as_deref() != Some("ready") {
            figures.fail();
        }
        if caller.delete(&format!("/cp/orgs/{id}"))?.status != 202 {
            figures.fail();
        }
    }
    Ok(figures)
}
