//! What the server says is there, against what must be there.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    caller::{Ask, Caller},
    events::Record,
    model::Model,
    server::ADMIN_KEY,
};

const LIVE: &str = "/cp/admin/orgs?";
const DELETED: &str = "/cp/admin/orgs?status=deleted&";
const KEYS: &str = "/cp/admin/partner-keys?";

/// What was listed, and how far the last look went.
#[derive(Default)]
pub(crate) struct There {
    /// The greatest id of each list that was there when last asked.
    seen: BTreeMap<&'static str, String>,
}

/// The orgs and keys of one look.
pub(crate) struct Listed {
    orgs: Vec<Value>,
    keys: Vec<Value>,
}

impl There {
    /// Lists what is new since the last look, or everything.
    pub(crate) fn look(&mut self, caller: &mut Caller, everything: bool) -> Result<Listed> {
        // An org can go from the first list to the second while they are read, and is then in both.
        let mut orgs = self.newest(caller, LIVE, "org.list", everything)?;
        orgs.extend(self.newest(caller, DELETED, "org.list", everything)?);
        Ok(Listed {
            orgs,
            keys: self.newest(caller, KEYS, "key.list", everything)?,
        })
    }

    /// The items of a list, newest first, down to those that were there the last time.
    fn newest(
        &mut self,
        caller: &mut Caller,
        path: &'static str,
        action: &'static str,
        everything: bool,
    ) -> Result<Vec<Value>> {
        let known = self.seen.get(path).cloned().unwrap_or_default();
        let items = pages(caller, path, action, |item| {
            everything || *id(item) > *known
        })?;
        if let Some(newest) = items.first().map(id).filter(|id| **id > *known) {
            self.seen.insert(path, newest.to_owned());
        }
        Ok(items)
    }
}

/// What must be there.
pub(crate) struct Here<'a> {
    pub(crate) model: &'a mut Model,
    pub(crate) findings: &'a mut Vec<String>,
}

impl Here<'_> {
    /// Compares what was listed, and asks one by one for what was touched and not listed.
    pub(crate) fn compare(
        &mut self,
        caller: &mut Caller,
        listed: &Listed,
        everything: bool,
    ) -> Result<()> {
        let mut seen = BTreeMap::new();
        for org in &listed.orgs {
            self.compare_org(org);
            seen.insert(id(org), ());
        }
        for key in &listed.keys {
            self.compare_key(key);
            seen.insert(id(key), ());
        }
        let mut wanted = std::mem::take(&mut self.model.touched);
        if everything {
            wanted.extend(self.model.orgs.keys().cloned());
            wanted.extend(self.model.keys.keys().cloned());
        }
        for id in wanted.iter().filter(|id| !seen.contains_key(id.as_str())) {
            let is_org = id.starts_with("org_");
            let (path, action) = if is_org {
                (format!("/cp/admin/orgs/{id}"), "org.read")
            } else {
                (format!("/cp/admin/partner-keys/{id}"), "key.read")
            };
            let answer = caller.ask(Ask::get(&path, ADMIN_KEY, action));
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
            Some(known) if !known.stand.fits(status) || known.slug != text(org, "slug") => {
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
    /// Orgs whose state the reconciler has not put on record exactly once, as far as events were read.
    pub(crate) fn unrecorded(&self, record: &Record) -> Vec<String> {
        let wrong = |org: &&Value| {
            let (id, status) = (id(org), text(org, "status"));
            let made = record.system(id, "org.provisioned");
            let gone = record.system(id, "org.deleted");
            ["ready", "suspended"].contains(&status) && made != 1
                || status == "deleted" && gone != 1
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
        let answer = caller.ask(Ask::get(&page, ADMIN_KEY, action));
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
