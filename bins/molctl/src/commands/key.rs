//! `molctl key …`.

use clap::{Args, Subcommand};
use molecule_client::{KeyFilters, KeyId, KeyRevocation};

use super::{KEYS, Much, word};
use crate::{context::Context, failure::Failure};

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// List the keys of your partner, newest first.
    List {
        /// Only keys with this status: active, disabled, expired or revoked.
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        much: Much,
    },
    /// Show the key in use.
    Get,
    Revoke(Revoke),
}

/// Revoke the key in use. It can't be undone.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// Yes, the very key that this command uses.
    #[arg(long = "self", required = true)]
    own: bool,
    #[command(flatten)]
    why: Why,
}

/// Why a key is revoked.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why: leaked, superseded, churned or unspecified. The key shows it, and so do the audit log and the message to
    /// webhook endpoints.
    #[arg(long)]
    reason: Option<String>,
}

impl Why {
    pub(crate) fn revocation(self) -> KeyRevocation {
        KeyRevocation {
            reason: self.reason.map(word),
        }
    }
}

/// Which keys to list.
pub(crate) fn filters(status: Option<String>) -> KeyFilters {
    KeyFilters {
        status: status.map(word),
        ..KeyFilters::default()
    }
}

impl Key {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::List { status, much } => {
                context
                    .output
                    .list(KEYS, client.keys(&filters(status)), much.limit())
                    .await
            }
            Self::Get => {
                let id = own_key(&client).await?;
                context.output.one(&client.key(id).await?)
            }
            Self::Revoke(revoke) => {
                let id = own_key(&client).await?;
                client.revoke_key_as(id, &revoke.why.revocation()).await?;
                context.output.note(&format!("The key {id} is revoked."));
                Ok(())
            }
        }
    }
}

async fn own_key(client: &molecule_client::Client) -> Result<KeyId, Failure> {
    let id = client.whoami().await?.credential.id;
    id.parse().map_err(|_| {
        Failure::Usage(format!(
            "The key in use, {id}, is an admin key. Partner keys are revoked by: molctl admin key revoke ID"
        ))
    })
}
