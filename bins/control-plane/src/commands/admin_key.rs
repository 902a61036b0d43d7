//! `molecule-cp admin-key`: also for operators who have lost their last admin key.

use std::str::FromStr as _;

use anyhow::{Context as _, bail};
use api::Time;
use clap::Subcommand;
use ids::{AdminKeyId, Name};
use keys::{AdminKeyDraft, AdminRole, InvalidNetworks, Networks};
use service::Env;
use storage::SqlDatabase;
use stores::{Database as _, prelude::*};
use time::{Duration, OffsetDateTime};

use super::{on_database, prepare::with_peppers, print, system_user};
use crate::settings::Settings;

#[derive(Subcommand)]
pub enum AdminKeyCommand {
    /// Create an admin key and show it once
    Create {
        /// Its name
        #[arg(long, default_value = "created by the command line")]
        name: String,
        /// What it may do: an operator everything, an auditor only reads what is under /cp/admin
        #[arg(long, default_value = "operator", value_parser = AdminRole::from_str)]
        role: AdminRole,
        /// The days from now after which it ends; without it, it does not end
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=3650))]
        expires_in_days: Option<u16>,
        /// The networks from which it may be used, such as 192.0.2.0/24, separated by commas
        #[arg(long, value_name = "CIDRS", value_delimiter = ',')]
        allowed_cidrs: Vec<String>,
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
        AdminKeyCommand::Create {
            name,
            role,
            expires_in_days,
            allowed_cidrs,
        } => {
            let days = expires_in_days.map(|days| Duration::days(days.into()));
            let draft = AdminKeyDraft {
                name: Name::new(name).context("--name")?,
                role,
                expires_at: days.map(|days| env.now() + days),
                allowed_cidrs: networks(&allowed_cidrs).context("--allowed-cidrs")?,
            };
            create(settings, (db, env), draft).await
        }
        AdminKeyCommand::List => list(db, env.now()).await,
        AdminKeyCommand::Revoke { id } => revoke((db, env), &id).await,
    })
}

async fn create(
    settings: &Settings,
    (db, env): (&SqlDatabase, &Env),
    draft: AdminKeyDraft,
) -> anyhow::Result<()> {
    let (_, (key, secret)) = with_peppers(db, settings, async |peppers| {
        service::admin_key_create(db, env, peppers, draft.clone(), system_user()).await
    })
    .await
    .context("start the server first, or give the same settings as it has")?;
    print(&format!(
        "{}  {}\n\nIt is shown only once.\n",
        key.id,
        secret.expose()
    ))
}

/// The networks that arguments name, if they name any.
fn networks(texts: &[String]) -> Result<Option<Networks>, InvalidNetworks> {
    if texts.is_empty() {
        return Ok(None);
    }
    Networks::parse(texts.iter().map(|text| text.trim())).map(Some)
}

async fn list(db: &SqlDatabase, now: OffsetDateTime) -> anyhow::Result<()> {
    let keys = db.read(|view| view.admin_keys()).await?;
    let mut text = String::new();
    for key in keys {
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {}", Time(at)),
            (None, Some(end)) if end <= now => format!("expired {}", Time(end)),
            (None, Some(end)) => format!("active until {}", Time(end)),
            (None, None) => "active".to_owned(),
        };
        let created = Time(key.created_at);
        let networks = key.allowed_cidrs.iter().flat_map(Networks::iter);
        let networks: Vec<String> = networks.collect();
        let from = if networks.is_empty() {
            String::new()
        } else {
            format!("  from {}", networks.join(","))
        };
        text += &format!(
            "{}  {created}  {:9}  {:8}  {state}{from}  {}\n",
            key.id,
            key.origin.as_str(),
            key.role.as_str(),
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
