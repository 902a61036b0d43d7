//! A small shop on axum that takes `keys`, `scopes` and `ratelimit` from the control plane.
//!
//! The store of keys is the shop's own, a map in memory: no diesel, no actix-web, no control plane.
//! The scopes are those that the `scopes` crate knows, so orders ask for `billing:read`.

mod guard;
mod handlers;
mod problem;
mod ring;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    routing::{delete, get},
};
use ratelimit::MemoryLimiter;

pub use ring::{KeyRing, SetupError};

/// All that a request needs: who may call, and how often.
#[derive(Debug)]
pub struct Shop {
    /// The keys that were issued.
    pub keys: KeyRing,
    /// What each of them has left.
    pub limits: MemoryLimiter,
}

impl Shop {
    /// A shop without keys.
    ///
    /// # Errors
    /// When the system gives no randomness for the pepper.
    pub fn new() -> Result<Self, SetupError> {
        let start = Instant::now();
        Ok(Self {
            keys: KeyRing::new()?,
            limits: MemoryLimiter::new(move || start.elapsed()),
        })
    }
}

/// The shop's routes.
pub fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/orders", get(handlers::orders_list))
        .route("/key", delete(handlers::key_revoke))
        .with_state(shop)
}
