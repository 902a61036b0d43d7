//! What is there once all work is done, compared with what the program did.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::http::text;

/// What every secret begins with.
pub(super) const MARK: &str = "Zq81xWm5hunter2";

/// How many orgs there are of each kind.
#[derive(Default)]
pub(super) struct Findings {
    /// How many have what their last good run handed back.
    whole: u32,
    /// How many have the plan and the options of the last change.
    updated: u32,
    failed: u32,
    given_up: u32,
    /// What must not be there.
    faults: [u32; FAULTS.len()],
}

/// What must not be there, in the order in which [`Findings::check`] names it.
const FAULTS: [&str; 8] = [
    "failures without a reason",
    "failures that show a secret",
    "ready orgs without their folder",
    "orgs with a mix of two runs",
    "ready orgs without outputs",
    "orgs with what no good run handed back",
    "orgs with an earlier run's, and no failure since",
    "orgs with a plan or options that their outputs were not made with",
];

impl Findings {
    fn note(&mut self, fault: usize, is_there: bool) {
        if let Some(count) = self.faults.get_mut(fault) {
            *count += u32::from(is_there);
        }
    }

    /// Compares what an org has with what its runs have handed back and left behind.
    pub(super) fn check(&mut self, folder: &Path, org: &Value, secrets: &Value) -> Result<()> {
        let id = text(org, "/id")?;
        let is_failed = text(org, "/status")? == "failed";
        let failure = org.pointer("/failure/message").and_then(Value::as_str);
        self.failed += u32::from(is_failed);
        self.given_up += u32::from(!is_failed && failure.is_some());
        self.note(0, failure == Some("") || is_failed && failure.is_none());
        self.note(1, failure.is_some_and(|text| text.contains(MARK)));
        let is_made = folder.join("created").join(id).join("slug").exists();
        self.note(2, !is_failed && !is_made);
        let member = |path: &str| org.pointer(path).and_then(Value::as_str);
        let secret = |name: &str| secrets.pointer(&format!("/secrets/{name}"));
        let Some(run) = member("/outputs/run") else {
            self.note(3, secret("password").is_some());
            // Whatever a run hands back is there as soon as the org is ready.
            self.note(4, !is_failed);
            return Ok(());
        };
        let done = fs::read_to_string(folder.join("done").join(id)).unwrap_or_default();
        let good: Vec<&str> = done.lines().collect();
        let password = format!("{MARK}-{id}-{run}");
        let is_one =
            secret("password") == Some(&password.into()) && secret("number") == Some(&run.into());
        self.note(3, !is_one);
        self.note(5, !good.contains(&run));
        // A run whose server was killed before it could write that down counts when nothing went wrong after.
        let is_last = good.last() == Some(&run);
        self.note(6, failure.is_none() && !is_last);
        // Plan and options change together with what the run handed back.
        let size = org.pointer("/options/size").map(Value::to_string);
        let is_own = member("/outputs/plan") == member("/plan")
            && member("/outputs/size") == size.as_deref();
        self.note(7, !is_own);
        self.whole += u32::from(is_one && is_last);
        self.updated += u32::from(size == Some(super::UPDATES.len().to_string()));
        Ok(())
    }

    /// Prints them, and tells whether all is as it should be.
    pub(super) fn print(&self) -> Result<bool> {
        println!(
            "{} with what their last good run handed back, {} of them with the last plan and options; \
             {} failed, {} with a change that was given up last",
            self.whole, self.updated, self.failed, self.given_up
        );
        let mut holds = self.whole > 0 && self.updated > 0;
        for (what, count) in FAULTS.iter().zip(self.faults) {
            holds &= report(what, usize::try_from(count).context("too many")?);
        }
        Ok(holds)
    }
}

/// Prints how much there is of what must not be there.
pub(super) fn report(what: &str, count: usize) -> bool {
    println!("{count} {what}");
    count == 0
}

/// The names of a folder's entries.
pub(super) fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// How many lines the files of a folder have.
pub(super) fn lines(folder: &Path) -> Result<usize> {
    let mut count = 0;
    for name in names(folder)? {
        count += fs::read_to_string(folder.join(name))?.lines().count();
    }
    Ok(count)
}
