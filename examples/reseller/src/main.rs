//! `reseller sell TIER ORDER CUSTOMER SLUG`, `reseller cancel TIER ORDER`.
//!
//! `MOLCTL_SERVER` is the control plane, `RESELLER_KEY_STANDARD` and `RESELLER_KEY_ENTERPRISE` are the keys of the tiers.

use std::{env, error::Error};

use molecule_client::{Client, Secret};
use reseller::Marketplace;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = env::var("MOLCTL_SERVER")?;
    let mut marketplace = Marketplace::default();
    for plan in ["standard", "enterprise"] {
        let key = env::var(format!("RESELLER_KEY_{}", plan.to_uppercase()))?;
        let client = Client::builder(&server).key(Secret::new(key)).build()?;
        marketplace = marketplace.with_tier(plan, client);
    }
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args {
        ["sell", tier, order, customer, slug] => {
            println!(
                "{}",
                marketplace
                    .sell(tier, order, customer, slug)
                    .await?
                    .login_url
            );
        }
        ["cancel", tier, order] => {
            let org = marketplace
                .find(tier, order)
                .await?
                .ok_or("there is no org of this order")?;
            marketplace.cancel(tier, org.id).await?;
        }
        _ => {
            return Err("usage: reseller sell TIER ORDER CUSTOMER SLUG | cancel TIER ORDER".into());
        }
    }
    Ok(())
}
