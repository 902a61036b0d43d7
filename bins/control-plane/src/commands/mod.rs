//! The command line.

mod admin_key;
mod audit;
mod first_key;
mod guard;
mod init;
mod key;
mod pepper;
mod prepare;
mod scanner_rules;
mod serve;
mod shutdown;

use std::{
    env,
    ffi::OsString,
    fs,
    io::{Write as _, stdout},
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use rand_core::UnwrapErr;
#[cfg(target_os = "linux")]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use service::{Env, OrphanPolicy, SystemUser};
use storage::SqlDatabase;
use time::OffsetDateTime;

pub use self::prepare::Known;
use crate::{
    handlers::openapi,
    inventory, routes,
    settings::{Settings, Sources},
};

/// For each use of the database by a command: longer than for a call, whose client can retry.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The exit code where migrations are pending. An error has 1, a wrong command line 2.
const PENDING: u8 = 3;

/// The partner control plane: keys, orgs and their audit log, by API.
#[derive(Parser)]
#[command(name = "molecule-cp", version)]
pub struct CommandLine {
    #[command(flatten)]
    sources: Sources,
    /// Serve although some keys need a pepper that is missing, and lose these keys
    #[arg(long, global = true)]
    force: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (the default)
    Serve,
    /// Bring the database up to date
    Migrate {
        /// Only list what is missing; the exit code is 3 where something is
        #[arg(long)]
        check: bool,
    },
    /// Create, list and revoke admin keys
    #[command(subcommand)]
    AdminKey(admin_key::AdminKeyCommand),
    /// Revoke again what was revoked after the backup that was restored
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Show which peppers are needed
    #[command(subcommand)]
    Pepper(pepper::PepperCommand),
    /// Prune and export the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print the rules by which scanners find keys in code
    ScannerRules {
        /// The scanner
        #[arg(long, value_enum)]
        format: scanner_rules::Format,
    },
    /// Show the settings in force, secrets masked
    Config,
    /// List the routes of the API
    Routes {
        /// As a Markdown table
        #[arg(long)]
        markdown: bool,
        /// As a Markdown table of what each scope allows
        #[arg(long, conflicts_with = "markdown")]
        scopes: bool,
    },
    /// Print the description of the API, an OpenAPI 3.1 document
    Openapi,
    /// Run a program for a server, and terminate it when the server is gone
    #[command(hide = true)]
    Guard {
        /// How many descriptors the program may have
        #[arg(long)]
        descriptors: Option<u64>,
        program: OsString,
        verb: String,
    },
}

/// Keeps other processes of the same user, such as the operator's programs, out of this one's memory and
/// environment, where secrets are. Root can still read them.
pub fn shield() {
    #[cfg(target_os = "linux")]
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(
            "protecting the server's memory failed, other processes of this user can read it: {error}"
        );
    }
}

/// Returns the exit code.
pub fn run(command_line: CommandLine) -> anyhow::Result<u8> {
    let CommandLine {
        sources,
        force,
        command,
    } = command_line;
    let orphans = if force {
        OrphanPolicy::Abandon
    } else {
        OrphanPolicy::Refuse
    };
    match command.unwrap_or(Command::Serve) {
        Command::Serve if init::is_needed() => return init::run(),
        Command::Serve => serve::run(&sources.load()?, orphans),
        Command::Migrate { check: false } => migrate(&sources.load()?),
        Command::Migrate { check: true } => return check_migrations(&sources.load()?),
        Command::AdminKey(command) => admin_key::run(&sources.load()?, command),
        Command::Key(command) => key::run(&sources.load()?, command),
        Command::Pepper(command) => pepper::run(&sources.load()?, &command),
        Command::Audit(command) => audit::run(&sources.load()?, command),
        Command::Guard {
            descriptors,
            program,
            verb,
        } => guard::run(descriptors, &program, &verb),
        Command::ScannerRules { format } => scanner_rules::run(&sources.load()?, format),
        Command::Config => print(&sources.load()?.to_string()),
        Command::Routes { scopes: true, .. } => print(&inventory::scopes(&routes::described())),
        Command::Routes { markdown, .. } => {
            print(&inventory::routes(&routes::described(), markdown))
        }
        Command::Openapi => print(&openapi::text(&routes::described(), openapi::EXAMPLE_URL)?),
    }
    .map(|()| 0)
}

fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let done = storage::migrate(&settings.database_url)?;
    if done.is_empty() {
        return print("The database is up to date.\n");
    }
    print(
        &done
            .iter()
            .map(|name| format!("applied {name}\n"))
            .collect::<String>(),
    )
}

/// Returns the exit code.
fn check_migrations(settings: &Settings) -> anyhow::Result<u8> {
    let pending = storage::pending_migrations(&settings.database_url)?;
    if pending.is_empty() {
        print("The database is up to date.\n")?;
        return Ok(0);
    }
    let lines = pending.iter().map(|name| format!("pending {name}\n"));
    print(&lines.collect::<String>())?;
    Ok(PENDING)
}

/// Runs a command on the database, also beside a server.
fn on_database<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&SqlDatabase, &Env) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime failed")?;
    let outcome = runtime.block_on(async {
        let options = storage::Options {
            timeout: TIMEOUT,
            connections: settings.database_pool,
            ..storage::Options::default()
        };
        let env = env();
        let db = SqlDatabase::open_stamping(&settings.database_url, options, env.stamper())?;
        service::resume_ids(&db, &env).await?;
        work(&db, &env).await
    });
    // Without waiting for threads that wait for a silent database.
    runtime.shutdown_background();
    outcome
}

/// Writes to standard output. A closed pipe is not an error.
fn print(text: &str) -> anyhow::Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn system_user() -> SystemUser {
    let uid = rustix::process::geteuid().as_raw().to_string();
    // A user of a directory service is not in the file.
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    let name = known.or_else(|| env::var("USER").ok());
    SystemUser {
        name: name.unwrap_or_else(|| format!("uid {uid}")),
        host: host(),
    }
}

/// The name of this machine.
fn host() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

/// The real clock and the system's random source.
fn env() -> Env {
    Env::new(OffsetDateTime::now_utc, UnwrapErr(getrandom::SysRng))
}
