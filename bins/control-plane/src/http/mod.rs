//! The way of a request: credential, limit, permission, body, one use case, one answer.

mod address;
mod body;
mod connection;
mod credentials;
mod entry;
mod headers;
mod prepared;
mod problem;
mod recorded;
mod reply;
mod router;
mod server;

use std::sync::Arc;

use ipnet::IpNet;
use ratelimit::MemoryLimiter;
use service::Service;
use storage::SqlDatabase;

use crate::{metrics::Metrics, provisioner::ChosenProvisioner};

pub use self::{
    connection::ConnectionLimiter,
    entry::{Http, entry, open, outside, unrouted},
    headers::{PREFERENCE_APPLIED, retry_after},
    prepared::PreparedRefusal,
    problem::{Complaint, Failure},
    reply::Reply,
    router::{Endpoint, Router},
    server::{listen, server},
};

/// The control plane of this server.
pub type ControlPlane = Service<SqlDatabase, MemoryLimiter, ChosenProvisioner>;

/// What every request can reach.
pub struct App {
    /// The use cases.
    pub service: Arc<ControlPlane>,
    /// How many connections there may be.
    pub connections: Arc<ConnectionLimiter>,
    /// The numbers.
    pub metrics: Metrics,
    /// Under which URL clients reach this server, without a slash at its end.
    pub public_url: String,
    /// How a key that was cut short or mistyped is refused.
    pub malformed_key: PreparedRefusal,
    /// The page that customers log in on.
    pub login_url: String,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}
