//! What measurements have in common: keys, orgs and lists of them.

use std::{thread, time::Duration};

use anyhow::{Result, bail};
use testkit::http::{Client, text};

use crate::performance::{
    process::Ours,
    report::{Bound, Outcome, ratios},
    wrk::Sample,
};

/// The body of a new key whose limit is out of the way.
pub(super) const NEW_KEY: &str = r#"{"name": "bench", "scopes": ["orgs:create", "orgs:list", "orgs:secrets", "audit:read"], "rate_limit": {"limit": 100000000, "window_seconds": 1}}"#;
/// The body of a new org; @ becomes a name of its own.
pub(super) const NEW_ORG: &str = r#"{"name": "Org @", "slug": "@", "plan": "standard"}"#;
/// How often an org is asked for until it is ready.
const POLLS: u32 = 600;

/// A new key, with a partner of its own that may have any number of orgs.
pub(super) fn key(admin: &Client) -> Result<String> {
    let created = admin.call("POST", "/cp/admin/partner-keys", &[], NEW_KEY)?;
    Ok(text(&created.expect(201)?, "/key")?.to_owned())
}

/// `path token` of the status of so many orgs that are ready, each with a key and partner of its own.
pub(super) fn orgs(server: &Ours, count: u32) -> Result<Vec<(String, String)>> {
    let admin = server.admin();
    let mut lines = Vec::new();
    for n in 0..count {
        let token = key(&admin)?;
        let partner = admin.with_token(&token);
        let org = NEW_ORG.replace('@', &format!("org-{n}"));
        let org = partner.call("POST", "/cp/orgs", &[], &org)?.expect(201)?;
        lines.push((format!("/cp/orgs/{}/status", text(&org, "/id")?), token));
    }
    for (path, token) in &lines {
        wait_until_ready(&admin.with_token(token), path)?;
    }
    Ok(lines)
}

fn wait_until_ready(partner: &Client, path: &str) -> Result<()> {
    for _ in 0..POLLS {
        if partner.get(path)?.text("/status").as_deref() == Some("ready") {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("{path}: the org does not become ready")
}

/// Puts down both sides of one load, and the ratio as the goal when there is one.
pub(super) fn compare(
    outcome: &mut Outcome,
    what: &str,
    baseline: (&str, &[Sample]),
    subject: (&str, &[Sample]),
    least: Option<f64>,
) {
    use crate::performance::lab::{p50, p99, throughput};
    for (who, samples) in [baseline, subject] {
        outcome.series(what, who, "requests/s", throughput(samples));
        outcome.series(&format!("{what}, p50"), who, "ms", p50(samples));
        outcome.series(&format!("{what}, p99"), who, "ms", p99(samples));
    }
    let ratio = ratios(&throughput(subject.1), &throughput(baseline.1));
    match least {
        Some(least) => {
            let text = format!("{what}: throughput, {} over {}", subject.0, baseline.0);
            outcome.goal(&text, Bound::AtLeast(least), "×", ratio);
        }
        None => {
            let who = format!("{} over {}", subject.0, baseline.0);
            outcome.series(&format!("{what}, ratio"), &who, "×", ratio);
        }
    }
}
