//! Runs the shop on one address and issues one key, which it prints once.

use std::{env, error::Error, sync::Arc, time::Duration};

use embedding::{Shop, router};
use ids::Name;
use ratelimit::RateLimit;
use scopes::{Scope, ScopeSet};
use time::OffsetDateTime;
use tokio::{net::TcpListener, time::interval};

/// Few enough that a hand with curl can reach it: five at once, one more every two seconds.
const LIMIT: RateLimit = RateLimit::literal(5, 10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8090".into());
    let shop = Arc::new(Shop::new()?);
    let key = shop.keys.issue(
        Name::new("first key")?,
        ScopeSet::EMPTY.with(Scope::BillingRead),
        LIMIT,
        OffsetDateTime::now_utc(),
    );
    let listener = TcpListener::bind(&address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    println!("the key, shown this once: {}", key.expose());
    drop(key);

    let swept = Arc::clone(&shop);
    tokio::spawn(async move {
        let mut minutes = interval(Duration::from_secs(60));
        loop {
            minutes.tick().await;
            swept.limits.sweep();
        }
    });
    axum::serve(listener, router(shop)).await?;
    Ok(())
}
