//! What the server lists, against what must be there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::server::ADMIN_KEY;

use super::{
    caller::{Caller, Request},
    events::AuditLog,
    model::Model,
};

const LIVE: &str = "/cp/admin/orgs?";
const DELETED: &str = "/cp/admin/orgs?status=deleted&";
const KEYS: &str = "/cp/admin/partner-keys?";

/// How far the lists were read.
#[derive(Default)]
pub(crate) struct Observed {
    /// The greatest id of each list when it was last read.
    newest: BTreeMap<&'static str, String>,
}

/// The orgs and keys of one reading.
pub(crate) struct Listed {
    orgs: Vec<Value>,
    keys: Vec<Value>,
}

impl Observed {
    /// Lists what is new since the last time, or everything.
    pub(crate) fn list(&mut self, caller: &mut Caller, everything: bool) -> Result<Listed> {
        // An org can go from the first list to the second while they are read, and is then in both.
        let mut orgs = self.read(caller, LIVE, "org.list", everything)?;
        orgs.extend(self.read(caller, DELETED, "org.list", everything)?);
        Ok(Listed {
            orgs,
            keys: self.read(caller, KEYS, "key.list", everything)?,
        })
    }

    /// The items of a list, newest first, down to those that were there the last time.
    fn read(
        &mut self,
        caller: &mut Caller,
        path: &'static str,
        action: &'static str,
        everything: bool,
    ) -> Result<Vec<Value>> {
        let known = self.newest.get(path).cloned().unwrap_or_default();
        let items = pages(caller, path, action, |item| {
            everything || *id(item) > *known
        })?;
        if let Some(newest) = items.first().map(id).filter(|id| **id > *known) {
            self.newest.insert(path, newest.to_owned());
        }
        Ok(items)
    }
}

/// What must be there.
pub(crate) struct Expected<'a> {
    pub(crate) model: &'a mut Model,
    pub(crate) findings: &'a mut Vec<String>,
}

impl Expected<'_> {
    /// Compares what was listed, and asks one by one for what was touched and not listed.
    pub(crate) fn compare(
        &mut self,
        caller: &mut Caller,
        listed: &Listed,
        everything: bool,
    ) -> Result<()> {
        let mut compared = BTreeSet::new();
        for org in &listed.orgs {
            self.compare_org(org);
            compared.insert(id(org));
        }
        for key in &listed.keys {
            self.compare_key(key);
            compared.insert(id(key));
        }
        let mut wanted = std::mem::take(&mut self.model.touched);
        if everything {
            wanted.extend(self.model.orgs.keys().cloned());
            wanted.extend(self.model.keys.keys().cloned());
        }
        for id in wanted.iter().filter(|id| !compared.contains(id.as_str())) {
            let is_org = id.starts_with("org_");
            let (path, action) = if is_org {
                (format!("/cp/admin/orgs/{id}"), "org.read")
            } else {
                (format!("/cp/admin/partner-keys/{id}"), "key.read")
            };
            let answer = caller.send(Request::get(&path, ADMIN_KEY, action));
            let answer = answer.with_context(|| format!("no answer to {path}"))?;
            if answer.status != 200 || everything {
                // All are listed when everything is.
                self.findings.push(format!(
                    "{id} is not there: {:?}, {:?}: {answer:?}",
                    self.model.orgs.get(id),
                    self.model.keys.get(id)
                ));
            } else if is_org {
                self.compare_org(&answer.json());
            } else {
                self.compare_key(&answer.json());
            }
        }
        Ok(())
    }

    fn compare_org(&mut self, org: &Value) {
        let (id, status) = (id(org), text(org, "status"));
        match self.model.orgs.get(id) {
            None => self.findings.push(format!("an org of no call: {org}")),
            Some(known) if !known.state.fits(status) || known.slug != text(org, "slug") => {
                self.findings.push(format!("{known:?}, and it is {org}"));
            }
            Some(_) => {}
        }
    }

    fn compare_key(&mut self, key: &Value) {
        let status = text(key, "status");
        match self.model.keys.get(id(key)) {
            None => self.findings.push(format!("a key of no call: {key}")),
            Some(known) => {
                let expect = if known.revoked { "revoked" } else { "active" };
                if status != expect || known.name != text(key, "name") {
                    self.findings.push(format!("{known:?}, and it is {key}"));
                }
            }
        }
    }
}

impl Listed {
    /// Orgs whose state the reconciler has not recorded exactly once, as far as events were read.
    pub(crate) fn unrecorded(&self, log: &AuditLog) -> Vec<String> {
        let wrong = |org: &&Value| {
            let (id, status) = (id(org), text(org, "status"));
            let provisioned = log.system(id, "org.provisioned");
            let deleted = log.system(id, "org.deleted");
            ["ready", "suspended"].contains(&status) && provisioned != 1
                || status == "deleted" && deleted != 1
        };
        let orgs = self.orgs.iter().filter(wrong);
        orgs.map(|org| id(org).to_owned()).collect()
    }
}

/// The items of a list, page by page, while they are wanted. `path` ends with `?` or `&`.
pub(crate) fn pages(
    caller: &mut Caller,
    path: &str,
    action: &'static str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = format!("{path}limit=100{cursor}");
        let answer = caller.send(Request::get(&page, ADMIN_KEY, action));
        let answer = answer.with_context(|| format!("no answer to {page}"))?;
        ensure!(answer.status == 200, "{page}: {answer:?}");
        let body = answer.json();
        let items = body.get("data").and_then(Value::as_array);
        for item in items.context("a list has data")? {
            if !wanted(item) {
                return Ok(all);
            }
            all.push(item.clone());
        }
        match body.get("next_cursor").and_then(Value::as_str) {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

fn id(item: &Value) -> &str {
    text(item, "id")
}

fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}
