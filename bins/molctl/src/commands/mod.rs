//! The commands, a file for each resource.

pub(crate) mod admin;
pub(crate) mod api;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod billing;
pub(crate) mod key;
pub(crate) mod login;
pub(crate) mod org;
pub(crate) mod plan;
pub(crate) mod shell;
pub(crate) mod webhook;
pub(crate) mod whoami;
pub(crate) mod workspace;

use std::collections::BTreeMap;

use clap::Args;
use molecule_client::{OrgState, Word, Words, is_pending};
use serde_json::{Map, Value};

use crate::{
    args::{Command, Globals},
    context::Context,
    credential::Credential,
    failure::Failure,
    interrupts::{self, GoesOn},
    output::Output,
    table::Column,
};

/// What was asked at the terminal before the command began.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) login: Option<Credential>,
}

/// Runs a command until it ends or a signal comes.
pub(crate) async fn run(
    command: Command,
    globals: Globals,
    prepared: Prepared,
) -> Result<(), Failure> {
    let (output, goes_on) = (Output(globals.output), GoesOn::default());
    let context = Context {
        globals,
        output,
        goes_on: goes_on.clone(),
    };
    let running = async {
        match command {
            Command::Login(command) => command.run(&context, prepared).await,
            Command::Auth(command) => command.run(&context).await,
            Command::Whoami(command) => command.run(&context).await,
            Command::Org(command) => command.run(&context).await,
            Command::Plan(command) => command.run(&context).await,
            Command::Workspace(command) => command.run(&context).await,
            Command::Billing(command) => command.run(&context).await,
            Command::Audit(command) => command.run(&context, false).await,
            Command::Webhook(command) => command.run(&context).await,
            Command::Key(command) => command.run(&context).await,
            Command::Admin(command) => command.run(&context).await,
            Command::Api(command) => command.run(&context).await,
            Command::Completion(command) => command.run(),
            Command::Man(command) => command.run(),
        }
    };
    interrupts::run(output, goes_on, running).await
}

/// How much of a list to print.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Much {
    /// The most items to print.
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "all")]
    limit: usize,
    /// Print all items.
    #[arg(long)]
    all: bool,
}

impl Much {
    pub(crate) fn limit(self) -> Option<usize> {
        (!self.all).then_some(self.limit)
    }
}

/// The columns of orgs.
pub(crate) const ORGS: &[Column] = &[
    ("ID", "/id"),
    ("SLUG", "/slug"),
    ("PLAN", "/plan"),
    ("STATUS", "/status"),
    ("CREATED", "/created_at"),
    ("EXPIRES", "/expires_at"),
];

/// The columns of keys.
pub(crate) const KEYS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("KEY", "/key_prefix"),
    ("STATUS", "/status"),
    ("SCOPES", "/scopes"),
    ("LAST USED", "/last_used_at"),
    ("EXPIRES", "/expires_at"),
];

/// A label as `key:value`, split.
pub(crate) fn label(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text
        .split_once(':')
        .ok_or("must be key:value, such as run_id:123")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A JSON object.
pub(crate) fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("must be a JSON object: {error}"))
}

/// Checks that an org has come to a status that was waited for.
pub(crate) fn expect_status(state: &OrgState, wanted: &str) -> Result<(), Failure> {
    if state.status.as_str() == wanted {
        return Ok(());
    }
    let why = state
        .failure
        .as_ref()
        .map(|failure| {
            format!(
                ": {} ({})",
                crate::table::clean(&failure.message),
                failure.code
            )
        })
        .unwrap_or_default();
    let verb = if is_pending(&state.status) {
        "is"
    } else {
        "ended"
    };
    Err(Failure::OrgFailed(format!(
        "The org {} {verb} {}, not {wanted}{why}.",
        state.id, state.status
    )))
}

/// A word of an enum; the server says which there are.
pub(crate) fn word<T: Words>(text: String) -> Word<T> {
    let Ok(word) = text.parse();
    word
}

/// A field of a merge patch: back to its default, a new value, or as it is.
pub(crate) fn changed<F: PartialEq, T>(
    clear: &[F],
    field: F,
    value: Option<T>,
) -> Option<Option<T>> {
    if clear.contains(&field) {
        Some(None)
    } else {
        value.map(Some)
    }
}

/// Labels to set and labels to remove, if there are any.
pub(crate) fn label_changes(
    set: Vec<(String, String)>,
    remove: Vec<String>,
) -> Option<BTreeMap<String, Option<String>>> {
    let set = set.into_iter().map(|(key, value)| (key, Some(value)));
    let changes: BTreeMap<_, _> = remove
        .into_iter()
        .map(|key| (key, None))
        .chain(set)
        .collect();
    (!changes.is_empty()).then_some(changes)
}
