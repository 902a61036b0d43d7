//! Orgs that are made by a program or a service of the operator's.

mod ends;
mod examples;
mod exec;
mod handed_back;
mod http;
mod processes;
mod rotations;

use serde_json::{Value, json};

use crate::kit::{Caller, eventually};

/// Creates an org and gives its id, without waiting.
#[track_caller]
fn create(key: &Caller, slug: &str) -> String {
    let request = json!({"name": slug, "slug": slug, "plan": "standard"});
    let org = key.post("/cp/orgs", request).expect(201);
    org["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn read(key: &Caller, org: &str) -> Value {
    key.get(&format!("/cp/orgs/{org}")).expect(200)
}

/// A step of an org, by its name.
#[track_caller]
fn step(key: &Caller, org: &str, name: &str) -> Value {
    let status = key.get(&format!("/cp/orgs/{org}/status")).expect(200);
    let steps = status["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["name"] == name);
    step.unwrap_or_else(|| panic!("no {name} in {status:#}"))
        .clone()
}

/// Waits until a failure of this code is told, and gives its message.
#[track_caller]
fn failure(key: &Caller, org: &str, code: &str) -> String {
    eventually(&format!("{org} tells of {code}"), || {
        let failure = &read(key, org)["failure"];
        let message = failure["message"].as_str()?;
        (failure["code"] == code).then(|| message.to_owned())
    })
}
