//! The arguments that all commands share, and the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{commands, durations::Span, failure::Failure, output::Format};

/// The command line of the control plane.
#[derive(Debug, Parser)]
#[command(
    name = "molctl",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done; 1 the server or the network failed; 2 wrong usage or request (400, 422); \
                  3 not allowed (403); 4 no key, or a refused one (401); 5 not found (404); 6 conflict (409); \
                  7 limited (429); 8 the org failed; 9 the wait ran out, the work goes on; 130, 143 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The arguments that all commands share.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The address of the server, such as https://cp.example.com. Without it, the profile's.
    #[arg(long, global = true, env = "MOLCTL_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,

    /// The profile whose server and key to use.
    #[arg(long, global = true, env = "MOLCTL_PROFILE", value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// A file that holds the key. Without it, the key is that of MOLCTL_KEY, or the profile's.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "key_stdin")]
    pub(crate) key_file: Option<PathBuf>,

    /// Read the key from standard input.
    #[arg(long, global = true)]
    pub(crate) key_stdin: bool,

    /// How to print. Other than as a table, standard output holds that and nothing else, and an error is an
    /// object on standard error.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub(crate) output: Format,

    /// How long to go on when the server limits, is down or can't be reached; 0 to try once.
    #[arg(
        long,
        global = true,
        default_value = "30s",
        value_name = "TIME",
        env = "MOLCTL_RETRY_FOR"
    )]
    pub(crate) retry_for: Span,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Login(commands::login::Login),
    /// Get a key for a pipeline, without a stored secret.
    #[command(subcommand)]
    Auth(commands::auth::Auth),
    Whoami(commands::whoami::Whoami),
    /// Create, watch, change, renew and delete orgs.
    #[command(subcommand)]
    Org(commands::org::Org),
    /// Plans that orgs can have.
    #[command(subcommand)]
    Plan(commands::plan::Plan),
    /// Workspaces of orgs.
    #[command(subcommand)]
    Workspace(commands::workspace::Workspace),
    Billing(commands::billing::Billing),
    Audit(commands::audit::Audit),
    /// Webhook endpoints and deliveries.
    #[command(subcommand)]
    Webhook(commands::webhook::Webhook),
    /// The keys of your partner.
    #[command(subcommand)]
    Key(commands::key::Key),
    /// For operators, with an admin key.
    #[command(subcommand)]
    Admin(commands::admin::Admin),
    Api(commands::api::Api),
    Completion(commands::shell::Completion),
    Man(commands::shell::Man),
}

impl Command {
    /// What is to be asked at the terminal before anything else.
    pub(crate) fn prepare(&self, globals: &Globals) -> Result<commands::Prepared, Failure> {
        if let Self::Login(login) = self {
            login.prepare(globals)
        } else {
            Ok(commands::Prepared::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        Cli::command().debug_assert();
    }
}
