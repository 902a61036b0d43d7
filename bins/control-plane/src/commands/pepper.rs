//! `molecule-cp pepper`: which peppers are still needed.

use std::collections::BTreeMap;

use clap::Subcommand;
use ids::EndpointId;
use keys::{PepperId, Peppers};
use storage::SqlDatabase;
use stores::{Database as _, IdempotencyId, StoreError, prelude::*};
use time::OffsetDateTime;

use super::{on_database, prepare::Known, print};
use crate::{pepper, settings::Settings};

const PAGE: usize = 500;

#[derive(Subcommand)]
pub enum PepperCommand {
    /// Tell how many keys, secrets and stored responses need each pepper
    Status,
}

pub fn run(settings: &Settings, command: &PepperCommand) -> anyhow::Result<()> {
    on_database(settings, async |db, _| match command {
        PepperCommand::Status => status(settings, db).await,
    })
}

/// What needs a pepper.
#[derive(Default)]
struct Needs {
    partner_keys: u64,
    admin_keys: u64,
    webhook_secrets: u64,
    org_secrets: u64,
    stored_responses: u64,
}

async fn status(settings: &Settings, db: &SqlDatabase) -> anyhow::Result<()> {
    let known = Known::read(db).await?;
    let peppers = pepper::load(settings, &known, false)?;
    let uses: Result<_, StoreError> = db
        .read(|view| view.pepper_uses(OffsetDateTime::now_utc()))
        .await;
    let mut needs: BTreeMap<Option<PepperId>, Needs> = BTreeMap::new();
    for id in peppers.ids() {
        needs.entry(Some(id)).or_default();
    }
    for used in uses? {
        let needs = needs.entry(used.pepper).or_default();
        needs.partner_keys = used.partner_keys;
        needs.admin_keys = used.admin_keys;
        needs.org_secrets = used.org_secrets;
    }
    for pepper in sealed_secrets(db, &peppers).await? {
        needs.entry(pepper).or_default().webhook_secrets += 1;
    }
    for pepper in stored_responses(db, &peppers).await? {
        needs.entry(pepper).or_default().stored_responses += 1;
    }
    print(&text(&peppers, &needs))
}

/// The pepper of each webhook secret, `None` for those that none of these opens.
async fn sealed_secrets(
    db: &SqlDatabase,
    peppers: &Peppers,
) -> anyhow::Result<Vec<Option<PepperId>>> {
    let (mut found, mut after): (Vec<_>, Option<EndpointId>) = (Vec::new(), None);
    loop {
        let page: Result<_, StoreError> =
            db.read(move |view| view.sealed_secrets(after, PAGE)).await;
        let page = page?;
        let Some(&(last, _)) = page.last() else {
            return Ok(found);
        };
        after = Some(last);
        for (endpoint, secrets) in &page {
            let sealed_under =
                |sealed: &[u8]| service::webhook_secret_pepper(peppers, *endpoint, sealed);
            found.extend(secrets.all().map(sealed_under));
        }
    }
}

/// The pepper of each stored response, `None` for those that none of these opens.
async fn stored_responses(
    db: &SqlDatabase,
    peppers: &Peppers,
) -> anyhow::Result<Vec<Option<PepperId>>> {
    let (mut found, mut after): (Vec<_>, Option<IdempotencyId>) = (Vec::new(), None);
    loop {
        let page: Result<_, StoreError> = db
            .read(move |view| view.sealed_responses(after.as_ref(), PAGE))
            .await;
        let page = page?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        after = Some(last.clone());
        let sealed_under =
            |(id, sealed): &(IdempotencyId, Vec<u8>)| peppers.sealed_under(sealed, id.request());
        found.extend(page.iter().map(sealed_under));
    }
}

fn text(peppers: &Peppers, needs: &BTreeMap<Option<PepperId>, Needs>) -> String {
    let (mut text, mut is_needed) = (String::new(), false);
    let given: Vec<PepperId> = peppers.ids().collect();
    for (pepper, needs) in needs {
        let state = match pepper {
            Some(pepper) if given.first() == Some(pepper) => "current",
            Some(pepper) if given.contains(pepper) => "retired",
            Some(_) => "missing",
            None => "unknown",
        };
        let id = pepper.map_or_else(|| "-".repeat(16), |pepper| pepper.to_string());
        let Needs {
            partner_keys,
            admin_keys,
            webhook_secrets,
            org_secrets,
            stored_responses,
        } = needs;
        let count = partner_keys + admin_keys + webhook_secrets + org_secrets + stored_responses;
        is_needed |= state != "current" && count > 0;
        text += &format!(
            "{id}  {state}  {partner_keys} partner keys  {admin_keys} admin keys  \
             {webhook_secrets} webhook secrets  {org_secrets} org secrets  \
             {stored_responses} stored responses\n"
        );
    }
    text += if is_needed {
        "Keep the retired peppers: keys need them until they are used or replaced, all else until a running \
         server has resealed it, within minutes.\n"
    } else {
        "The current pepper is all that is needed: retired ones can be taken away.\n"
    };
    text
}
