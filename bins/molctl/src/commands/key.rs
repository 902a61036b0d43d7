//! `molctl key …`.

use clap::{Args, Subcommand};
use molecule_client::{KeyFilters, KeyId, KeyRevocation, NewRotation, Time};

use super::{KEYS, Much, admin, word};
use crate::{
    context::Context,
    credential::{Credential, KeyLocation},
    durations::Span,
    failure::Failure,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// List the keys of your partner, newest first.
    List {
        /// Only keys with this status: active, disabled, expired or revoked.
        #[arg(long)]
        status: Option<String>,
        #[command(flatten)]
        times: Times,
        #[command(flatten)]
        much: Much,
    },
    /// Show the key in use.
    Get,
    Rotate(Rotate),
    Revoke(Revoke),
}

/// Which keys to list, by their times.
#[derive(Debug, Args)]
pub(crate) struct Times {
    /// Only keys that expire before this time.
    #[arg(long, value_name = "TIME", value_parser = admin::time)]
    expires_before: Option<Time>,
    /// Only keys that were not used at this time or later.
    #[arg(long, value_name = "TIME", value_parser = admin::time)]
    unused_since: Option<Time>,
}

/// Give the key in use another secret, and keep that where the key is kept.
///
/// The secret in use works on until the overlap is over, for those who have it as well. The new one is kept and
/// tried before that; a new one that can't be kept is given up.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    overlap: Overlap,
    /// Print the new key. It has to be printed where molctl can't keep it: with MOLCTL_KEY and --key-stdin.
    #[arg(long, conflicts_with_all = ["finish", "cancel"])]
    show: bool,
    /// End the older secret now: all who use the key have the new one.
    #[arg(long, conflicts_with_all = ["cancel", "overlap", "finish_when_idle"])]
    finish: bool,
    /// End the newer secret now, as when it was lost. The key in use must be the older one.
    #[arg(long, conflicts_with_all = ["overlap", "finish_when_idle"])]
    cancel: bool,
}

/// How long both secrets of a key work.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Overlap {
    /// For how long the secret before works on, such as 2h; without it, a day.
    #[arg(long, value_name = "TIME")]
    overlap: Option<Span>,
    /// End the overlap once the new secret was used, and the one before was not for so long.
    #[arg(long, value_name = "TIME")]
    finish_when_idle: Option<Span>,
}

impl Overlap {
    /// The rotation, as the server is asked for it.
    pub(crate) fn rotation(self) -> NewRotation {
        let seconds = |span: Span| u64::from(span.seconds());
        NewRotation {
            overlap_seconds: self.overlap.map(seconds),
            finish_when_idle_seconds: self.finish_when_idle.map(seconds),
        }
    }
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
pub(crate) fn filters(status: Option<String>, times: &Times) -> KeyFilters {
    KeyFilters {
        status: status.map(word),
        expires_before: times.expires_before,
        unused_since: times.unused_since,
        ..KeyFilters::default()
    }
}

impl Key {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::List {
                status,
                times,
                much,
            } => {
                let keys = client.keys(&filters(status, &times));
                context.output.list(KEYS, keys, much.limit()).await
            }
            Self::Get => {
                let id = own_key(&client).await?;
                context.output.one(&client.key(id).await?)
            }
            Self::Rotate(rotate) => rotate.run(context).await,
            Self::Revoke(revoke) => {
                let id = own_key(&client).await?;
                client.revoke_key_as(id, &revoke.why.revocation()).await?;
                context.output.note(&format!("The key {id} is revoked."));
                Ok(())
            }
        }
    }
}

impl Rotate {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let (client, credential) = context.client_and_source()?;
        let id = own_key(&client).await?;
        let output = context.output;
        if self.finish {
            return output.one(&client.finish_key_rotation(id).await?);
        }
        if self.cancel {
            let key = client.key(id).await?;
            if key.secrets.len() > 1 && key.key_prefix == credential.key.prefix() {
                return Err(Failure::Usage(
                    "The key in use is the newer secret, which --cancel would end. Use the older one, or end that one \
                     by --finish."
                        .to_owned(),
                ));
            }
            return output.one(&client.cancel_key_rotation(id).await?);
        }
        if matches!(credential.location, KeyLocation::Elsewhere) && !self.show {
            return Err(Failure::Usage(format!(
                "molctl can't keep another key in {}. Have it printed by --show, or use a profile or --key-file.",
                credential.source
            )));
        }
        credential.location.check()?;
        // Where nothing may overlap, the key in use is ended once the new one is kept.
        let at_once = self.overlap.overlap.is_some_and(|span| span.seconds() == 0);
        let rotation = NewRotation {
            overlap_seconds: self.overlap.rotation().overlap_seconds.filter(|_| !at_once),
            ..self.overlap.rotation()
        };
        let issued = client.rotate_key(id, &rotation).await?;
        if let Err(failure) = credential.location.keep(&issued.key) {
            output.note("The new key could not be kept, so the rotation is cancelled.");
            client.cancel_key_rotation(id).await?;
            return Err(failure);
        }
        if !matches!(credential.location, KeyLocation::Elsewhere) {
            output.note(&format!("The new key is kept in {}.", credential.source));
        }
        if self.show {
            output.note("The key is shown only this once; keep it safe.");
            output.one(&issued)?;
        }
        // By the new key, which is tried so.
        let renewed = Credential {
            key: issued.key,
            ..credential
        };
        let client = context.client_of(client.server(), Some(&renewed))?;
        let key = if at_once {
            client.finish_key_rotation(id).await?
        } else {
            client.key(id).await?
        };
        if self.show { Ok(()) } else { output.one(&key) }
    }
}

async fn own_key(client: &molecule_client::Client) -> Result<KeyId, Failure> {
    let id = client.whoami().await?.credential.id;
    id.parse().map_err(|_| {
        Failure::Usage(format!(
            "The key in use, {id}, is an admin key. Partner keys are rotated and revoked by: molctl admin key"
        ))
    })
}
