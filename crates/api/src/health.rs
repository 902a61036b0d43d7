//! The response of the health checks.

use api_macros::Response;
use serde::Serialize;

use crate::wire::HealthStatus;

/// The server is healthy.
#[derive(Clone, Copy, Debug, Serialize, Response)]
#[api(name = "Health", closed)]
pub struct HealthView {
    /// Always `ok`: an unhealthy server answers with an error.
    #[api(as = HealthStatus)]
    status: &'static str,
}

impl HealthView {
    /// The server is healthy.
    pub const OK: Self = Self { status: "ok" };
}
