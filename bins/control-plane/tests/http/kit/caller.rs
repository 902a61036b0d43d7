//! Somebody who calls a server.

use std::io;

use serde_json::{Value, json};
use testkit::http::Client;

use super::{Response, eventually};

/// Every scope there is in this version.
pub const ALL_SCOPES: &[&str] = &[
    "orgs:create",
    "orgs:list",
    "orgs:update",
    "orgs:delete",
    "orgs:secrets",
    "workspaces:create",
    "billing:read",
    "audit:read",
    "webhooks:manage",
];

/// Those that a key can have that is bound to an org.
pub const ORG_SCOPES: &[&str] = &[
    "orgs:create",
    "orgs:list",
    "orgs:update",
    "orgs:delete",
    "orgs:secrets",
    "workspaces:create",
    "billing:read",
    "audit:read",
];

/// A caller with one credential, or none.
#[derive(Clone, Debug)]
pub struct Caller {
    client: Client,
    key: Value,
}

impl Caller {
    /// An empty token is none.
    pub(super) fn new(address: &str, token: &str) -> Self {
        Self {
            client: Client::new(&format!("http://{address}"), token),
            key: Value::Null,
        }
    }

    /// The holder of a key that was just issued.
    pub(super) fn holding(address: &str, key: Value) -> Self {
        let mut caller = Self::new(address, key["key"].as_str().unwrap());
        caller.key = key;
        caller
    }

    /// The key's resource, as its creation showed it.
    pub fn resource(&self) -> &Value {
        &self.key
    }

    /// The key's id.
    pub fn id(&self) -> &str {
        self.key["id"].as_str().unwrap()
    }

    /// The id of the key's partner.
    pub fn partner_id(&self) -> &str {
        self.key["partner_id"].as_str().unwrap()
    }

    /// The secret.
    pub fn token(&self) -> &str {
        self.client.token()
    }

    /// The path of the key's own resource.
    pub fn path(&self) -> String {
        format!("/cp/admin/partner-keys/{}", self.id())
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, &[], b"")
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: Value) -> Response {
        self.call("POST", path, body)
    }

    #[track_caller]
    pub fn patch(&self, path: &str, body: Value) -> Response {
        self.call("PATCH", path, body)
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: Value) -> Response {
        self.call("PUT", path, body)
    }

    /// A call with a JSON body, or without one where it is `null`.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, body: Value) -> Response {
        if body.is_null() {
            return self.send(method, path, &[], b"");
        }
        let headers = [("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string().as_bytes())
    }

    /// A call with these headers beside the credential, and this body.
    #[track_caller]
    pub fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.try_send(method, path, headers, body).unwrap()
    }

    /// As [`Caller::send`], of a server that may go away.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let response = self.client.send(method, path, headers, body)?;
        Ok(Response::new(response, format!("{method} {path}")))
    }

    /// All items of a list, page by page.
    #[track_caller]
    pub fn all(&self, path: &str) -> Vec<Value> {
        self.client.list(path).unwrap()
    }

    /// Creates an org and waits until it is ready.
    #[track_caller]
    pub fn org(&self, slug: &str) -> Value {
        let request = json!({"name": slug, "slug": slug, "plan": "standard"});
        let org = self.post("/cp/orgs", request).expect(201);
        let id = org["id"].as_str().unwrap();
        self.wait(id, "ready");
        self.get(&format!("/cp/orgs/{id}")).expect(200)
    }

    /// Polls an org until it has this status.
    #[track_caller]
    pub fn wait(&self, org: &str, status: &str) {
        let path = format!("/cp/orgs/{org}/status");
        eventually(&format!("{org} is {status}"), || {
            (self.get(&path).expect(200)["status"] == status).then_some(())
        });
    }
}
