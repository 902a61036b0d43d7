//! Tokens of the right form with a wrong checksum.

use anyhow::{Context, Result, ensure};

use super::setup;
use crate::performance::{
    lab::{Lab, Side},
    process::{Ours, bare},
    report::Outcome,
    wrk::Load,
};

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let folder = lab.folder("checksum")?;
    let server = Ours::start(&folder, &lab.sqlite(&folder), &[])?;
    let good = setup::key(&server.admin())?;
    let wrong = with_other_end(&good).context("a key has an end")?;
    let path = "/cp/whoami";
    let sample = server.process.client(&wrong).get(path)?;
    ensure!(sample.status == 401, "{path}: {}", sample.status);
    let bare = bare(lab, &sample, None)?;
    let list = lab.list(&[(path.to_owned(), wrong)])?;
    let mut outcome = Outcome::default();
    for connections in [64, 256] {
        let what = format!("{connections} connections");
        println!("  {what}");
        let side = |who, address| Side {
            who,
            load: Load {
                address,
                connections,
                script: "get.lua",
                args: vec![list.display().to_string()],
                refused: true,
            },
        };
        let sides = [
            side("bare", bare.address),
            side("ours", server.process.address),
        ];
        let samples = lab.interleave(&sides)?;
        let [theirs, ours] = samples.as_slice() else {
            continue;
        };
        setup::compare(
            &mut outcome,
            &what,
            ("bare", theirs),
            ("ours", ours),
            Some(0.90),
        );
    }
    Ok(outcome)
}

/// The token with another last character, which belongs to its checksum.
fn with_other_end(token: &str) -> Option<String> {
    let (last, _) = token.char_indices().last()?;
    let other = if token.ends_with('0') { '1' } else { '0' };
    Some(format!("{}{other}", token.get(..last)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_character_is_another() {
        assert_eq!(with_other_end("mol_pk_a0").as_deref(), Some("mol_pk_a1"));
        assert_eq!(with_other_end("mol_pk_a7").as_deref(), Some("mol_pk_a0"));
    }
}
