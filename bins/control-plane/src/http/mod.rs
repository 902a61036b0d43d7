//! From a request to a response: credential, limit, permission, body, one use case.

mod address;
mod anonymous;
mod audited_response;
mod authenticated;
mod body;
mod connection;
mod credentials;
mod endpoint;
mod headers;
mod labels;
mod listener;
mod pacing;
mod prepared_problem;
mod problem_details;
mod problem_response;
mod request;
mod router;
mod server;

use std::sync::Arc;

use ipnet::IpNet;
use keys::KeyPrefixes;
use service::Service;
use storage::SqlDatabase;
use tokio_util::sync::CancellationToken;
use trust::IssuerPolicy;

use crate::{
    github::GithubKeys, issuers::HttpIssuerClient, limiter::ChosenLimiter, metrics::Metrics,
    provisioner::ChosenProvisioner, traces::Tracer,
};

pub use self::{
    anonymous::{AnonymousRequest, Paced, anonymous},
    audited_response::AuditedResponse,
    authenticated::AuthenticatedRequest,
    body::{Body, MAX_BODY},
    connection::ConnectionLimiter,
    endpoint::{PublicRequest, authenticated, fallback, for_browsers, not_found, public},
    headers::{PREFERENCE_APPLIED, retry_after, set_event, set_retry_after},
    listener::Listener,
    pacing::Pacing,
    prepared_problem::PreparedProblem,
    problem_details::{HandlerError, ProblemDetails},
    problem_response::ProblemResponse,
    router::{Endpoint, Router},
    server::Server,
};

/// The control plane of this server.
pub type ControlPlane = Service<SqlDatabase, ChosenLimiter, ChosenProvisioner>;

/// What all requests share.
pub struct App {
    pub service: Arc<ControlPlane>,
    pub connections: Arc<ConnectionLimiter>,
    /// Cancelled when the server is to stop.
    pub stopping: CancellationToken,
    pub metrics: Metrics,
    pub tracer: Tracer,
    pub pacing: Pacing,
    /// The URL under which clients reach this server, without a slash at its end.
    pub public_url: String,
    /// The response to a key that was cut short or mistyped.
    pub malformed_key: PreparedProblem,
    /// The page that customers log in on.
    pub login_url: String,
    /// What fetches the keys of issuers.
    pub issuer_client: Arc<HttpIssuerClient>,
    /// Which issuers trust rules may have.
    pub issuer_policy: IssuerPolicy,
    /// The prefixes of partner keys.
    pub key_prefixes: KeyPrefixes,
    /// With whose keys reports of leaks by GitHub are signed, if they are taken.
    pub github_keys: Option<GithubKeys>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}
