//! Fills a migrated database with as many keys, orgs and events as are asked for, in bulk.
//!
//! The values are those of the domain, written through the same stores as the server's own, many in a
//! transaction. Each tenth key has a new partner.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use audit::{Action, Actor, Event, Request, Target, TargetKind};
use getrandom::{SysRng, rand_core::UnwrapErr};
use ids::{Name, OrgId, RequestId, Sequence, TypedId};
use keys::{KeyDigest, KeyKind, Partner, PartnerDraft, PartnerKey, Pepper, Peppers, PlainKey};
use orgs::{NewOrg, Org, OrgProgress, OrgStatus, OrgWork, Slug, SlugRequest};
use ratelimit::RateLimit;
use storage::{DatabaseUrl, Session, SqlDatabase, Writing};
use stores::{Database as _, StoreError, prelude::*};
use testkit::build::Build;
use time::{Duration, OffsetDateTime};

/// How many keys, or events, share a transaction.
const BATCH: u64 = 2000;
/// A limit that is never reached.
const LIMIT: RateLimit = RateLimit::literal(100_000_000, 1);

/// What to fill a database with.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    database: String,
    #[arg(long)]
    pepper: String,
    /// How many keys and as many orgs.
    #[arg(long, default_value_t = 0)]
    keys: u64,
    /// How many events, by keys that an earlier call has created.
    #[arg(long, default_value_t = 0)]
    events: u64,
    /// Where to write `sample`, with keys as they are presented, and `actors`, with ids.
    #[arg(long)]
    folder: PathBuf,
    /// How many keys to write there, evenly from among all.
    #[arg(long, default_value_t = 100_000)]
    sampled: u64,
}

/// One key with all that belongs to it.
struct Tenant {
    /// Its partner, when that is new with it.
    partner: Option<Partner>,
    key: PartnerKey,
    digest: KeyDigest,
    org: Org,
}

struct Builder {
    build: Build,
    sequence: Sequence,
    random: UnwrapErr<SysRng>,
    peppers: Peppers,
    at: OffsetDateTime,
}

/// Fills a database.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let url: DatabaseUrl = args.database.parse()?;
    let db = SqlDatabase::open(&url)?;
    let mut builder = Builder {
        build: Build::new(),
        sequence: Sequence::new(),
        random: UnwrapErr(SysRng),
        peppers: Peppers::new(Pepper::new(args.pepper.as_bytes())?, []),
        at: OffsetDateTime::now_utc().replace_nanosecond(0)? - Duration::days(30),
    };
    // The way to PostgreSQL has a clock: nobody waits for a connection for ever.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    if args.keys > 0 {
        runtime.block_on(keys_and_orgs(args, &db, &mut builder))?;
    }
    if args.events > 0 {
        runtime.block_on(events(args, &db, &mut builder))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn keys_and_orgs(args: &Args, db: &SqlDatabase, builder: &mut Builder) -> Result<()> {
    let every = (args.keys / args.sampled.max(1)).max(1);
    let (mut sample, mut actors, mut partner) = (String::new(), String::new(), None);
    let mut created = 0;
    while created < args.keys {
        let mut tenants = Vec::new();
        for n in created..args.keys.min(created.saturating_add(BATCH)) {
            let (tenant, plain) = builder.tenant(n, &mut partner)?;
            if n % every == 0 {
                sample.push_str(plain.expose());
                sample.push('\n');
            }
            let (key, org) = (&tenant.key, tenant.org.id);
            actors.push_str(&format!("{} {} {org}\n", key.id, key.partner_id));
            tenants.push(tenant);
        }
        created = created.saturating_add(BATCH);
        let put_all = move |tx: &mut Session<Writing>| put(tx, &tenants);
        db.write::<_, StoreError>(put_all).await?;
    }
    fs::write(args.folder.join("sample"), sample)?;
    fs::write(args.folder.join("actors"), actors)?;
    Ok(())
}

async fn events(args: &Args, db: &SqlDatabase, builder: &mut Builder) -> Result<()> {
    let text = fs::read_to_string(args.folder.join("actors"))?;
    let actors: Vec<(Actor, OrgId)> = text.lines().map(actor).collect::<Result<_>>()?;
    let mut actors = actors.iter().cycle();
    let mut created = 0;
    while created < args.events {
        let mut events = Vec::new();
        for _ in created..args.events.min(created.saturating_add(BATCH)) {
            // All of them lie within the days since the keys were created.
            builder.at += Duration::microseconds(200_000);
            let (actor, org) = actors.next().context("there are no keys")?;
            events.push(builder.event(*actor, *org));
        }
        created = created.saturating_add(BATCH);
        let put_all = move |tx: &mut Session<Writing>| {
            events
                .iter()
                .try_for_each(|event| tx.event_record(event).map(drop))
        };
        db.write::<_, StoreError>(put_all).await?;
    }
    Ok(())
}

/// The ids of a key, its partner and its org.
fn actor(line: &str) -> Result<(Actor, OrgId)> {
    let mut ids = line.split(' ');
    let mut next = || ids.next().context("a line has three ids");
    let (id, partner_id) = (next()?.parse()?, next()?.parse()?);
    Ok((Actor::PartnerKey { id, partner_id }, next()?.parse()?))
}

fn put(tx: &mut Session<Writing>, tenants: &[Tenant]) -> Result<(), StoreError> {
    for tenant in tenants {
        if let Some(partner) = &tenant.partner {
            tx.partner_insert(partner)?;
        }
        tx.key_insert(&tenant.key, &tenant.digest)?;
    }
    let orgs = tenants.iter().map(|tenant| &tenant.org);
    let claim = |org: &Org| SlugRequest {
        slug: org.slug.clone(),
        org: org.id,
        partner: org.partner_id,
        held_since: org.created_at,
    };
    tx.slugs_acquire(&orgs.clone().map(claim).collect::<Vec<_>>())?;
    let new = |org: &Org| NewOrg {
        org: org.clone(),
        steps: Vec::new(),
        subscription: None,
        lease: None,
    };
    tx.orgs_insert(&orgs.clone().map(new).collect::<Vec<_>>())?;
    // Nothing is left to do about them.
    let done = |org: &Org| OrgProgress {
        work: OrgWork {
            org: org.clone(),
            steps: Vec::new(),
        },
        due_at: None,
        release: true,
        cancel: false,
    };
    tx.orgs_progress(&orgs.map(done).collect::<Vec<_>>())
}

impl Builder {
    fn id<I: TypedId>(&mut self) -> I {
        let ms = u64::try_from(self.at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        self.sequence.next(ms, &mut self.random)
    }

    fn tenant(&mut self, n: u64, partner: &mut Option<Partner>) -> Result<(Tenant, PlainKey)> {
        let at = self.at;
        let new = if n.is_multiple_of(10) || partner.is_none() {
            let draft = PartnerDraft::for_one_key(Name::new(format!("Partner {n}"))?);
            Some(draft.into_partner(self.id(), at))
        } else {
            None
        };
        *partner = new.clone().or(partner.take());
        let owner = partner.as_ref().context("there is a partner")?;
        let plain = PlainKey::generate(KeyKind::Partner, &mut self.random);
        let key = PartnerKey {
            id: self.id(),
            name: Name::new(format!("key-{n}"))?,
            rate_limit: Some(LIMIT),
            key_prefix: plain.display_prefix().to_owned(),
            created_at: at,
            ..self.build.key(owner)
        };
        let org = Org {
            id: self.id(),
            name: Name::new(format!("Org {n}"))?,
            slug: Slug::new(format!("grown-{n}"))?,
            status: OrgStatus::Ready,
            created_at: at,
            updated_at: at,
            ready_at: Some(at),
            attempts: 1,
            ..self.build.org(&key)
        };
        let digest = self.peppers.digest(&plain);
        let tenant = Tenant {
            partner: new,
            key,
            digest,
            org,
        };
        Ok((tenant, plain))
    }

    /// A call by this actor that succeeded: a poll of its org.
    fn event(&mut self, actor: Actor, org: OrgId) -> Event {
        Event {
            id: self.id(),
            occurred_at: self.at,
            action: Action::OrgStatus,
            target: Target::one(TargetKind::Org, org),
            org_id: Some(org),
            request: Some(Request {
                id: self.id::<RequestId>().to_string().into(),
                route: "/cp/orgs/{id}/status".into(),
                ..self.build.request()
            }),
            ..self.build.event_by(actor)
        }
    }
}
