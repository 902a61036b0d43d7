//! Follows the audit log of a server for a while, by times and by ids, and tells what such a reader has
//! missed or has seen changed. Have others call the server, and further instances on the same database,
//! meanwhile. It ends with 1 when there was anything.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::Value;
use testkit::tail::Tail;

/// How often it is asked what is new.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Follows the audit log and tells what was missed.
#[derive(Parser)]
#[command(name = "bench-tail")]
struct Args {
    /// Where the server is, such as http://127.0.0.1:8080
    #[arg(long)]
    server: String,
    /// An admin key
    #[arg(long, env = "MOLECULE_CP_ADMIN_KEY", hide_env_values = true)]
    admin_key: String,
    /// For how long to follow
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut failure = None;
    let mut tail = Tail::new(|query| match page(&args, query) {
        Ok(page) => page,
        Err(error) => {
            failure.get_or_insert(error);
            // An empty page: nobody can go on, and it is told at the end.
            serde_json::json!({"data": []})
        }
    });
    let end = Instant::now() + Duration::from_secs(args.seconds);
    while Instant::now() < end {
        tail.step();
        thread::sleep(POLL_INTERVAL);
    }
    let report = tail.finish();
    if let Some(error) = failure {
        return Err(error);
    }
    let (missed, changed) = (report.missed.len(), report.changed.len());
    let line = format!(
        "{} events, {missed} missed, {changed} changed, {} repeated",
        report.events, report.repeated
    );
    let out = std::io::stdout();
    std::io::Write::write_all(&mut out.lock(), format!("{line}\n").as_bytes())?;
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn page(args: &Args, query: &str) -> Result<Value> {
    let url = format!("{}/cp/admin/audit-events{query}", args.server);
    let mut answer = ureq::get(&url)
        .header("Authorization", format!("Bearer {}", args.admin_key))
        .call()
        .context("the server did not answer")?;
    let text = answer.body_mut().read_to_string()?;
    Ok(serde_json::from_str(&text)?)
}
