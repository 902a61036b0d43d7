//! Verifying, issuing, listing and revoking keys at once.

use anyhow::{Result, ensure};

use testkit::server::ADMIN_KEY;

use super::setup::{self, NEW_KEY};
use crate::performance::{
    lab::{Lab, Side, throughput},
    process::{Ours, bare},
    report::{Bound, Outcome},
    wrk::Load,
};

/// How many keys are verified.
const KEYS: u32 = 1000;
/// What was published, in requests a second.
const PUBLISHED: f64 = 16_766.0;

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let folder = lab.folder("mix")?;
    let server = Ours::start(&folder, &lab.sqlite(&folder), &[])?;
    let admin = server.admin();
    let mut lines = Vec::new();
    for _ in 0..if lab.quick { 50 } else { KEYS } {
        lines.push(("/cp/whoami".to_owned(), setup::key(&admin)?));
    }
    let token = lines.first().map_or("", |(_, token)| token);
    let sample = server.process.client(token).get("/cp/whoami")?;
    ensure!(sample.status == 200, "whoami: {}", sample.status);
    let bare = bare(lab, &sample, None)?;
    let list = lab.list(&lines)?.display().to_string();
    let side = |who, address| Side {
        who,
        load: Load {
            address,
            connections: 64,
            script: "mix.lua",
            args: vec![list.clone(), ADMIN_KEY.to_owned(), NEW_KEY.to_owned()],
            refused: false,
        },
    };
    let sides = [
        side("bare", bare.address),
        side("ours", server.process.address),
    ];
    let samples = lab.interleave(&sides)?;
    let mut outcome = Outcome::default();
    if let [theirs, ours] = samples.as_slice() {
        setup::compare(&mut outcome, "mix", ("bare", theirs), ("ours", ours), None);
        outcome.goal(
            "the mix, in requests a second",
            Bound::AtLeast(PUBLISHED),
            "requests/s",
            throughput(ours),
        );
        let verified = throughput(ours).iter().map(|rate| rate * 0.9).collect();
        outcome.series("of which verifications", "ours", "requests/s", verified);
    }
    outcome.note(
        "The published run verified fewer keys in its total than ours does; the mix of the rest is \
         not known, and 90/5/4/1 is our choice.",
    );
    Ok(outcome)
}
