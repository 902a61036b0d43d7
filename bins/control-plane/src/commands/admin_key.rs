//! Admin keys by the command line: for the day when nobody has one any more.

use anyhow::{Context as _, bail};
use clap::Subcommand;
use ids::{AdminKeyId, Name};
use keys::KeyQueries as _;
use service::Env;
use storage::SqlDatabase;
use stores::Database as _;
use time::format_description::well_known::Rfc3339;

use super::{on_database, prepare::with_peppers, print, system_user};
use crate::settings::Settings;

#[derive(Subcommand)]
pub enum AdminKeyCommand {
    /// Create an admin key and show it once
    Create {
        /// A name to tell it by
        #[arg(long, default_value = "made by the command line")]
        name: String,
    },
    /// List the admin keys, without their secrets
    List,
    /// Revoke an admin key
    Revoke {
        /// Its id, adm_…
        id: String,
    },
}

/// Runs on the same database as the server, also while it serves.
pub fn run(settings: &Settings, command: AdminKeyCommand) -> anyhow::Result<()> {
    if matches!(command, AdminKeyCommand::Create { .. }) {
        // A key may come before the first start. A database that is older is left to `migrate`.
        storage::migrate_if_empty(&settings.database_url)?;
    }
    on_database(settings, async |db, env| match command {
        AdminKeyCommand::Create { name } => create(settings, (db, env), name).await,
        AdminKeyCommand::List => list(db).await,
        AdminKeyCommand::Revoke { id } => revoke((db, env), &id).await,
    })
}

async fn create(
    settings: &Settings,
    (db, env): (&SqlDatabase, &Env),
    name: String,
) -> anyhow::Result<()> {
    let name = Name::new(name).context("--name")?;
    let (_, (key, secret)) = with_peppers(db, settings, async |peppers| {
        service::admin_key_create(db, env, peppers, name.clone(), system_user()).await
    })
    .await
    .context("start the server first, or give the same settings as it has")?;
    print(&format!(
        "{}  {}\n\nIt is shown this once.\n",
        key.id,
        secret.expose()
    ))
}

async fn list(db: &SqlDatabase) -> anyhow::Result<()> {
    let keys = db.read(|view| view.admin_keys()).await?;
    let mut text = String::new();
    for key in keys {
        let state = match key.revoked_at {
            None => "active".to_owned(),
            Some(at) => format!("revoked {}", at.format(&Rfc3339)?),
        };
        let made = key.created_at.format(&Rfc3339)?;
        text += &format!(
            "{}  {made}  {:9}  {state}  {}\n",
            key.id,
            key.origin.as_str(),
            key.name
        );
    }
    print(&text)
}

async fn revoke((db, env): (&SqlDatabase, &Env), id: &str) -> anyhow::Result<()> {
    let id: AdminKeyId = id.parse()?;
    if service::admin_key_revoke(db, env, id, system_user()).await? {
        return print(&format!("{id} is revoked\n"));
    }
    match db.read(move |view| view.admin_key(id)).await? {
        Some(_) => print(&format!("{id} was revoked already\n")),
        None => bail!("there is no admin key {id}; `molecule-cp admin-key list` shows them"),
    }
}
