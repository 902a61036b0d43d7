//! `molecule-cp admin-key`: also for operators who have lost their last admin key.

use anyhow::{Context as _, bail};
use api::Time;
use clap::Subcommand;
use ids::{AdminKeyId, Name};
use service::Env;
use storage::SqlDatabase;
use stores::{Database as _, prelude::*};

use super::{on_database, prepare::with_peppers, print, system_user};
use crate::settings::Settings;

#[derive(Subcommand)]
pub enum AdminKeyCommand {
    /// Create an admin key and show it once
    Create {
        /// Its name
        #[arg(long, default_value = "created by the command line")]
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

pub fn run(settings: &Settings, command: AdminKeyCommand) -> anyhow::Result<()> {
    if matches!(command, AdminKeyCommand::Create { .. }) {
        // An admin key may be created before the first start. An old database needs `migrate` first.
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
        "{}  {}\n\nIt is shown only once.\n",
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
            Some(at) => format!("revoked {}", Time(at)),
        };
        let created = Time(key.created_at);
        text += &format!(
            "{}  {created}  {:9}  {state}  {}\n",
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
        None => bail!("no admin key {id}; list them with `molecule-cp admin-key list`"),
    }
}
