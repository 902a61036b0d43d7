//! Exchanges of pipelines' tokens for keys, beside polling a status.

use std::{fmt::Write as _, fs, num::NonZeroUsize, path::PathBuf, thread};

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{
    http::text,
    issuer::{Issuer, TestKey},
};

use super::setup;
use crate::performance::{
    lab::{Lab, p50, p99, throughput},
    process::Ours,
    report::{Bound, Outcome, ratios},
    wrk::{Load, Sample},
};

const CONNECTIONS: u32 = 64;
/// More than are exchanged in a second.
const TOKENS_PER_SECOND: usize = 12_000;
/// Exchanges in a second.
const LEAST: f64 = 2000.0;
/// Of a status poll's p99.
const MOST: f64 = 10.0;
const AUDIENCE: &str = "https://cp.example.com";

pub(super) fn sqlite(lab: &Lab) -> Result<Outcome> {
    let folder = lab.folder("exchange")?;
    let settings = [
        ("MOLECULE_CP_OIDC_ALLOW_PRIVATE", "true"),
        ("MOLECULE_CP_TOKEN_EXCHANGE_LIMIT", "100000000/1"),
    ];
    let server = Ours::start(&folder, &lab.sqlite(&folder), &settings)?;
    let admin = server.admin();
    let issuer = Issuer::start();
    let partner = json!({"name": "bench", "plan": "partner"});
    let partner = admin.post("/cp/admin/partners", &partner)?.expect(201)?;
    let rule = json!({
        "name": "bench", "partner_id": text(&partner, "/id")?, "issuer": issuer.url(), "audience": AUDIENCE,
        "claims": {"repository_id": "42", "ref": "refs/heads/main"}, "scopes": ["orgs:create"],
    });
    let rule = admin.post("/cp/admin/trust-rules", &rule)?.expect(201)?;
    let rule = text(&rule, "/id")?;
    let polls = setup::orgs(&server, if lab.quick { 10 } else { 100 })?;
    let polls = lab.list(&polls)?;
    let mut outcome = Outcome::default();
    for (algorithm, key) in [("RS256", TestKey::Rsa1), ("ES256", TestKey::P256One)] {
        let (mut polled, mut exchanged) = (Vec::new(), Vec::new());
        for round in 0..lab.rounds {
            let poll = Load {
                address: server.process.address,
                connections: CONNECTIONS,
                script: "get.lua",
                args: vec![polls.display().to_string()],
                refused: false,
            };
            // Each run needs tokens that were not exchanged before; a second of them is to get warm.
            let forms = |seconds: u32| forms(lab, &issuer, key, rule, seconds);
            let exchange = |forms: PathBuf| Load {
                script: "forms.lua",
                args: vec![
                    "/cp/token".to_owned(),
                    forms.display().to_string(),
                    "2".to_owned(),
                ],
                ..poll.clone()
            };
            if round == 0 {
                poll.run(lab, 1)?;
                exchange(forms(1)?).run(lab, 1)?;
            }
            polled.push(poll.run(lab, lab.seconds)?);
            exchanged.push(exchange(forms(lab.seconds)?).run(lab, lab.seconds)?);
            println!(
                "  round {}: {algorithm}: {:.0}/s, p99 {:.2} ms beside {:.2} ms",
                round.saturating_add(1),
                exchanged.last().map_or(0.0, Sample::per_second),
                exchanged.last().map_or(0.0, |one| one.p99_us / 1000.0),
                polled.last().map_or(0.0, |one| one.p99_us / 1000.0),
            );
        }
        for (who, samples) in [("status poll", &polled), ("exchange", &exchanged)] {
            outcome.series(algorithm, who, "requests/s", throughput(samples));
            outcome.series(&format!("{algorithm}, p50"), who, "ms", p50(samples));
            outcome.series(&format!("{algorithm}, p99"), who, "ms", p99(samples));
        }
        let what = format!("{algorithm}: exchanges in a second");
        outcome.goal(
            &what,
            Bound::AtLeast(LEAST),
            "per second",
            throughput(&exchanged),
        );
        let ratio = ratios(&p99(&exchanged), &p99(&polled));
        let what = format!("{algorithm}: p99, exchange over status poll");
        outcome.goal(&what, Bound::AtMost(MOST), "×", ratio);
    }
    outcome.note(
        "Each exchange verifies a signature with keys that are cached, and commits a key, the use of the token and \
         the audit event before it is answered.",
    );
    Ok(outcome)
}

/// A file of forms with tokens for so many seconds.
fn forms(lab: &Lab, issuer: &Issuer, key: TestKey, rule: &str, seconds: u32) -> Result<PathBuf> {
    let count = TOKENS_PER_SECOND.saturating_mul(usize::try_from(seconds)?);
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let claims = json!({
        "sub": "repo:acme@7/app@42:ref:refs/heads/main", "repository": "acme/app", "repository_id": "42",
        "ref": "refs/heads/main", "run_id": "99", "sha": "5f2e1c",
    });
    let parts: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut text = String::new();
                    for _ in 0..count.div_ceil(threads) {
                        let token = issuer.token(key, AUDIENCE, &claims);
                        let _ = writeln!(
                            text,
                            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={token}\
                             &subject_token_type=urn:ietf:params:oauth:token-type:jwt&trust_rule={rule}"
                        );
                    }
                    text
                })
            })
            .collect();
        let parts = workers.into_iter().map(|worker| worker.join().ok());
        parts.collect::<Option<_>>().context("a thread panicked")
    })?;
    let path = lab.scratch.join(lab.fresh("forms"));
    fs::write(&path, parts.concat())?;
    Ok(path)
}
