//! How long the lists take.

use std::time::{Duration, Instant};

use anyhow::Result;
use audit::{Action, ActorId, AuditQueries as _, AuditVisibility, EventFilter};
use ids::PageRequest;
use storage::SqlDatabase;
use stores::Database as _;

use crate::events::{PARTNERS, key, org, partner};

#[derive(clap::Args)]
pub struct Args {
    /// How often each list is asked for.
    #[arg(long, default_value_t = 50)]
    times: u32,
    /// How many events a page has.
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

pub async fn run(database: SqlDatabase, args: &Args) -> Result<()> {
    let all = EventFilter::all(AuditVisibility::All);
    let of = |number| EventFilter {
        partner_id: Some(partner(number)),
        ..all.clone()
    };
    let lists = [
        ("everything", all.clone()),
        (
            "by key",
            EventFilter {
                actor: Some(ActorId::Key(key(7, 1))),
                ..all.clone()
            },
        ),
        ("by partner", of(7)),
        (
            "by org",
            EventFilter {
                org_id: Some(org(7, 3)),
                ..all.clone()
            },
        ),
        ("by a partner that is seldom seen", of(PARTNERS)),
        ("by a partner that is not there", of(PARTNERS + 1)),
        (
            "by an action that is not there",
            EventFilter {
                action: Some(Action::KeyRevoke),
                ..all.clone()
            },
        ),
    ];
    for (name, filter) in lists {
        let (mut took, mut found) = (Vec::new(), 0);
        for _ in 0..args.times {
            let (filter, began) = (filter.clone(), Instant::now());
            // The whole walk is measured.
            let page = PageRequest::new(args.limit, None).with_budget(usize::MAX);
            let page = database
                .read(move |view| view.events(&filter, page))
                .await?;
            took.push(began.elapsed());
            found = page.items.len();
        }
        took.sort();
        let median = took.get(took.len() / 2).copied().unwrap_or(Duration::ZERO);
        println!("{name}: {median:?} (median), {found} events");
    }
    Ok(())
}
