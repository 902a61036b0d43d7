//! Reading the secrets of orgs, beside polling their status.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, Result, ensure};

use super::setup;
use crate::performance::{
    lab::{Lab, Side},
    postgres::Postgres,
    process::Ours,
    report::Outcome,
    wrk::Load,
};

/// How many keys and orgs there are in the variant with many.
const MANY: u32 = 1000;
/// Of a status poll's throughput.
const LEAST: f64 = 0.80;
/// A program that hands back what most orgs have.
const PROGRAM: &str = r#"#!/bin/sh
echo '{"outputs": {"host": "db.example.com"}, "secrets": {"DATABASE_URL": "postgres://acme:VZ2rqNzdW0sVt3kq@db.example.com/acme"}}'
"#;

pub(super) fn sqlite(lab: &Lab) -> Result<Outcome> {
    let folder = lab.folder("secrets")?;
    measure(lab, &folder, &lab.sqlite(&folder))
}

pub(super) fn postgres(lab: &Lab) -> Result<Outcome> {
    let postgres = Postgres::start()?;
    measure(lab, &lab.folder("secrets")?, &postgres.new_database())
}

fn measure(lab: &Lab, folder: &Path, database: &str) -> Result<Outcome> {
    let program = folder.join("provision");
    fs::write(&program, PROGRAM)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let program = program.to_str().context("the folder has an odd name")?;
    let settings = [
        ("MOLECULE_CP_PROVISIONER", "exec"),
        ("MOLECULE_CP_PROVISIONER_EXEC", program),
    ];
    let server = Ours::start(folder, database, &settings)?;
    let mut outcome = Outcome::default();
    let polls = setup::orgs(&server, if lab.quick { 50 } else { MANY })?;
    let reads: Vec<(String, String)> = polls
        .iter()
        .map(|(path, token)| (path.replace("/status", "/secrets"), token.clone()))
        .collect();
    let (path, token) = reads.first().context("there is no org")?;
    let sample = server.process.client(token).get(path)?;
    ensure!(sample.status == 200, "{path}: {}", sample.status);
    for (whose, count) in [("one key and org", 1), ("many keys and orgs", reads.len())] {
        let lists = [
            (
                "status poll",
                lab.list(polls.get(..count).unwrap_or_default())?,
            ),
            ("secrets", lab.list(reads.get(..count).unwrap_or_default())?),
        ];
        for connections in [64, 256] {
            let what = format!("{whose}, {connections} connections");
            println!("  {what}");
            let sides = lists.each_ref().map(|(who, list)| Side {
                who,
                load: Load {
                    address: server.process.address,
                    connections,
                    script: "get.lua",
                    args: vec![list.display().to_string()],
                    refused: false,
                },
            });
            let samples = lab.interleave(&sides)?;
            if let [polled, read] = samples.as_slice() {
                let sides = (
                    ("status poll", polled.as_slice()),
                    ("secrets", read.as_slice()),
                );
                setup::compare(&mut outcome, &what, sides.0, sides.1, Some(LEAST));
            }
        }
    }
    Ok(outcome)
}
