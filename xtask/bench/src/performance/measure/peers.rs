//! better-auth's API keys beside ours, on the same PostgreSQL.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use testkit::ports;

use super::setup;
use crate::performance::{
    lab::{Lab, Side, p99, throughput},
    machine::output,
    postgres::Postgres,
    process::{Ours, Process, bare, value_in_log},
    report::{Bound, Outcome, ratios},
    wrk::Load,
};

/// What is copied to where packages are installed.
const FILES: [&str; 4] = ["package.json", "package-lock.json", ".npmrc", "server.mjs"];
/// As many processes as our server has threads that serve.
const WORKERS: u32 = 2;

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let folder = install(lab)?;
    let postgres = Postgres::start()?;
    let (theirs, key) = start(&folder, &postgres.new_database())?;
    let own = lab.folder("peers")?;
    let server = Ours::start(&own, &postgres.new_database(), &[])?;
    let orgs = setup::orgs(&server, 1)?;
    let (path, token) = orgs.first().context("there is no org")?;
    let sample = server.process.client(token).get(path)?;
    let bare = bare(lab, &sample, None)?;
    let (own, verify) = (
        lab.list(&orgs)?,
        lab.list(&[("/verify".to_owned(), key.clone())])?,
    );
    let nothing = lab.list(&[("/bare".to_owned(), key)])?;
    let side = |who, process: &Process, list: &Path| Side {
        who,
        load: Load {
            address: process.address,
            connections: 64,
            script: "get.lua",
            args: vec![list.display().to_string()],
            refused: false,
        },
    };
    let sides = [
        side("express, bare", &theirs, &nothing),
        side("better-auth", &theirs, &verify),
        side("actix-web, bare", &bare, &own),
        side("ours", &server.process, &own),
    ];
    let samples = lab.interleave(&sides)?;
    let mut outcome = Outcome::default();
    for (side, samples) in sides.iter().zip(&samples) {
        outcome.series("throughput", side.who, "requests/s", throughput(samples));
        outcome.series("latency, p99", side.who, "ms", p99(samples));
    }
    if let [express, better_auth, actix, ours] = samples.as_slice() {
        let over = |a: &[_], b: &[_]| ratios(&throughput(a), &throughput(b));
        let text = "throughput, ours over better-auth";
        outcome.goal(text, Bound::AtLeast(40.0), "×", over(ours, better_auth));
        let late = ratios(&p99(ours), &p99(better_auth));
        outcome.goal("p99, ours over better-auth", Bound::AtMost(0.05), "×", late);
        let what = "share of the bare route";
        outcome.series(what, "better-auth", "×", over(better_auth, express));
        outcome.series(what, "ours", "×", over(ours, actix));
    }
    outcome.note(format!(
        "Node {}; {WORKERS} processes there, and one thread for each core that serves here.",
        output("node", &["--version"]).unwrap_or_default()
    ));
    Ok(outcome)
}

/// Installs the pinned packages, if they are not there yet.
fn install(lab: &Lab) -> Result<PathBuf> {
    for program in ["node", "npm"] {
        let found = output(program, &["--version"]).is_some();
        ensure!(found, "{program} is not installed (Debian: nodejs, npm)");
    }
    let folder = lab.kept.join("peers");
    fs::create_dir_all(&folder)?;
    let source = lab.root.join("xtask/bench/peers");
    let lock = fs::read(source.join("package-lock.json"))?;
    let done = folder.join("installed");
    let fresh = fs::read(&done).is_ok_and(|installed| installed == lock);
    for name in FILES {
        fs::copy(source.join(name), folder.join(name)).with_context(|| name.to_owned())?;
    }
    if !fresh {
        println!("  npm ci");
        let output = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "npm ci failed: {}", errors.trim());
        fs::write(done, lock)?;
    }
    Ok(folder)
}

/// Their server, and a key that verifies.
fn start(folder: &Path, database: &str) -> Result<(Process, String)> {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let log = folder.join("server.log");
    let mut command = Command::new("node");
    command
        .arg("server.mjs")
        .current_dir(folder)
        .env("NODE_ENV", "production")
        .env("DATABASE_URL", database)
        .env("PORT", address.port().to_string())
        .env("WORKERS", WORKERS.to_string());
    let process = Process::start(command, address, &log)?;
    let key = value_in_log(&log, "KEY ")?;
    let verify = process.client("");
    let verified = verify.call("GET", "/verify", &[("x-api-key", &key)], "")?;
    verified.expect(200).context("better-auth")?;
    Ok((process, key))
}
