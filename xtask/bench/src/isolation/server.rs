//! A server whose orgs are provisioned by a script, and callers of it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    sync::Arc,
};

use anyhow::Result;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    http::{RawConnection, Response, request, text},
    postgres::Server as Postgres,
    process::{MemoryUse, mebibytes},
    server::{self, Key, Setup},
};

use crate::engine::Engine;

/// The tenant's own address.
pub(crate) const TENANT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// Where attacks come from.
pub(crate) const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Provisions an org at once, but for those whose slug asks for another pace.
const PROVISIONER: &str = "#!/bin/sh\norg=$(cat)\ncase \"$org\" in\n\
    *'\"slug\":\"never-'*) [ \"$1\" = provision ] && exec sleep 600 ;;\n\
    *'\"slug\":\"slow-'*) [ \"$1\" = provision ] && exec sleep 1 ;;\nesac\nexit 0\n";

/// A running server; it ends with this.
pub(crate) struct Server {
    server: server::Server,
    setup: Setup,
    shared: Arc<Shared>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// What the instances on one database share, and what must outlive them.
struct Shared {
    folder: TempDir,
    _postgres: Option<Postgres>,
}

impl Server {
    /// Starts a server on an empty database.
    pub(crate) fn start(engine: Engine) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let provisioner = folder.path().join("provision");
        fs::write(&provisioner, PROVISIONER)?;
        fs::set_permissions(&provisioner, fs::Permissions::from_mode(0o755))?;
        let postgres = engine.start()?;
        let mut setup = Setup::new(server::program()?, folder.path())
            .with("WEBHOOK_ALLOW_PRIVATE", "true")
            .with("PROVISIONER", "exec")
            .with("PROVISIONER_EXEC", provisioner);
        setup.database_url = postgres.as_ref().map(Postgres::new_database);
        let shared = Shared {
            folder,
            _postgres: postgres,
        };
        Self::start_in(setup, Arc::new(shared))
    }

    /// Starts another instance on the same database.
    pub(crate) fn twin(&self) -> Result<Self> {
        let mut setup = self.setup.clone();
        setup.log = self.shared.folder.path().join("twin.log");
        Self::start_in(setup, Arc::clone(&self.shared))
    }

    fn start_in(setup: Setup, shared: Arc<Shared>) -> Result<Self> {
        let server = setup.start()?;
        Ok(Self {
            address: server.address,
            server,
            setup,
            shared,
        })
    }

    /// A call of the admin, which must succeed.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let response = self.server.admin().call(method, path, &[], &body)?;
        let success = if (200..300).contains(&response.status) {
            response.status
        } else {
            200
        };
        Ok(response.expect(success)?)
    }

    /// A new partner's key with all scopes. Without a limit it has the default, 600 calls in 60 s.
    pub(crate) fn key(&self, limit: Option<u32>) -> Result<Key> {
        Ok(self.server.key(json!({
            "scopes": ["orgs:create", "orgs:list", "orgs:delete", "workspaces:create",
                "billing:read", "audit:read", "webhooks:manage"],
            "rate_limit": limit.map(|limit| json!({"limit": limit, "window_seconds": 1})),
        }))?)
    }

    /// The most memory that it has had, in MiB.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        Ok(mebibytes(MemoryUse::of(self.server.id())?.peak))
    }
}

/// A request that creates an org.
pub(crate) fn creation(key: &str, slug: &str) -> String {
    let body = json!({"name": slug, "slug": slug, "plan": "standard"});
    request("POST", "/cp/orgs", key, "", &body.to_string())
}

/// Creates an org and gives its id.
pub(crate) fn create(connection: &mut RawConnection, key: &str, slug: &str) -> Result<String> {
    id_of(&connection.send(&creation(key, slug))?)
}

/// The id of an org that was created.
pub(crate) fn id_of(response: &Response) -> Result<String> {
    Ok(text(&response.expect(201)?, "/id")?.to_owned())
}
