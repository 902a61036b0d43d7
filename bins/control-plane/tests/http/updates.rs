//! Orgs that are changed.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, Caller, ORG_SCOPES, Response, Script, Server, Store, eventually};

on_both_engines![
    what_needs_no_work_changes_at_once,
    a_new_plan_takes_work_and_the_org_stays_in_use_meanwhile,
    an_update_that_is_given_up_leaves_the_org_as_it_was,
    options_are_patched_and_must_satisfy_the_schema_of_the_plan,
    a_key_limited_to_plans_needs_the_old_one_and_the_new_one,
    an_org_can_be_deleted_in_the_middle_of_an_update,
    what_an_admin_does_beside_an_update,
];

#[track_caller]
fn patch(key: &Caller, org: &str, body: Value) -> Response {
    key.patch(&format!("/cp/orgs/{org}"), body)
}

#[track_caller]
fn read(key: &Caller, org: &str) -> Value {
    key.get(&format!("/cp/orgs/{org}")).expect(200)
}

fn id(org: &Value) -> String {
    org["id"].as_str().unwrap().to_owned()
}

fn what_needs_no_work_changes_at_once(store: Store) {
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let request = json!({
        "name": "Acme", "slug": "acme-corp", "plan": "free", "external_id": "crm-1",
        "labels": {"run": "1", "team": "a"},
    });
    let org = key.post("/cp/orgs", request).expect(201);
    let id = id(&org);
    key.wait(&id, "ready");
    let mut expect = read(&key, &id);
    let change = json!({
        "name": "Acme Inc", "external_id": null, "labels": {"run": "2", "team": null},
        // The same plan is no work.
        "plan": "free", "options": {},
    });
    let actual = patch(&key, &id, change).expect(200);
    expect["name"] = json!("Acme Inc");
    expect["external_id"] = Value::Null;
    expect["labels"] = json!({"run": "2"});
    assert_eq!(actual, expect);
    assert_eq!(read(&key, &id), expect);
    assert_eq!(patch(&key, &id, json!({})).expect(200), expect);
    let listed = |query: &str| key.all(&format!("/cp/orgs?{query}")).len();
    assert_eq!(
        (
            listed("label=run:2"),
            listed("label=run:1"),
            listed("external_id=crm-1")
        ),
        (1, 0, 0)
    );
    let events = server.events(&format!("org_id={id}&action=org.update"));
    let changed: Vec<_> = events
        .iter()
        .map(|event| &event["details"]["changed"])
        .collect();
    assert_eq!(
        changed,
        [&json!(["name", "external_id", "labels"]), &json!([])]
    );

    for (body, expect) in [
        (json!({"slug": "other-corp"}), "/slug"),
        (json!({"name": null}), "/name"),
        (json!({"name": ""}), "/name"),
        (json!({"plan": null}), "/plan"),
        (json!({"plan": "gold"}), "/plan"),
        (json!({"options": [1]}), "/options"),
        (json!({"labels": {"A": "b"}}), "/labels/A"),
        (json!({"status": "ready"}), "/status"),
    ] {
        assert_eq!(patch(&key, &id, body).pointers(), [expect]);
    }
    let merge = [("content-type", "application/merge-patch+json")];
    let path = format!("/cp/orgs/{id}");
    let answer = key
        .send("PATCH", &path, &merge, br#"{"labels": null}"#)
        .expect(200);
    assert_eq!(answer["labels"], json!({}));

    key.delete(&path).expect(202);
    patch(&key, &id, json!({"name": "Late"})).problem(409, "org-state-conflict");
    key.wait(&id, "deleted");
    patch(&key, &id, json!({"name": "Late"})).problem(409, "org-state-conflict");
}

/// A program that waits with an update until the file `go` is there, and then ends as that says.
fn gated(store: &Store, server: impl Fn(&Script) -> Server) -> (Script, Server) {
    let script = Script::new(
        store,
        "cat > $1.json
         [ $1 = update ] || exit 0
         while [ ! -e go ]; do sleep 0.05; done
         . ./go",
    );
    let server = server(&script);
    (script, server)
}

fn open(script: &Script, lines: &str) {
    // Whole at once: the program may look at any moment.
    std::fs::write(script.file("going"), lines).unwrap();
    std::fs::rename(script.file("going"), script.file("go")).unwrap();
}

fn a_new_plan_takes_work_and_the_org_stays_in_use_meanwhile(store: Store) {
    let (script, server) = gated(&store, |script| script.start(&store, &[]));
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = id(&org);
    let change = json!({"name": "Acme Inc", "plan": "enterprise", "options": {"size": 3}});
    let answer = patch(&key, &id, change).expect(202);
    assert_eq!(
        (&answer["status"], &answer["plan"], &answer["name"]),
        (&json!("updating"), &json!("standard"), &json!("Acme Inc"))
    );
    eventually("the program was asked", || {
        script.file("update.json").exists().then_some(())
    });
    let status = key.get(&format!("/cp/orgs/{id}/status"));
    assert!(status.header("retry-after").parse::<u32>().unwrap() >= 1);
    let step = &status.expect(200)["steps"][2];
    assert_eq!(
        (&step["name"], &step["status"]),
        (&json!("update"), &json!("running"))
    );
    let workspace = json!({"name": "QA"});
    key.post(&format!("/cp/orgs/{id}/workspaces"), workspace)
        .expect(201);
    let billing = key.get(&format!("/cp/orgs/{id}/billing")).expect(200);
    assert_eq!(billing["plan"], "standard");
    // One change at a time, but for what needs no work.
    patch(&key, &id, json!({"options": {"size": 4}})).problem(409, "org-state-conflict");
    patch(&key, &id, json!({"name": "Acme Ltd"})).expect(200);

    let path = format!("/cp/orgs/{id}/status");
    let held = key.send("GET", &path, &[("prefer", "wait=1")], b"");
    assert_eq!(held.expect(200)["status"], "updating");
    assert_eq!(held.header("preference-applied"), "wait=1");
    open(&script, "exit 0");
    key.wait(&id, "ready");
    let mut expect = org;
    expect["name"] = json!("Acme Ltd");
    expect["plan"] = json!("enterprise");
    expect["options"] = json!({"size": 3});
    assert_eq!(read(&key, &id), expect);
    let said: Value = serde_json::from_str(&script.read("update.json")).unwrap();
    assert_eq!(said["previous"], json!({"plan": "standard", "options": {}}));
    assert_eq!(
        (&said["plan"], &said["options"], &said["status"]),
        (
            &json!("enterprise"),
            &json!({"size": 3}),
            &json!("updating")
        )
    );
    let done = server.events(&format!("org_id={id}&action=org.updated"));
    assert_eq!(done.len(), 1);
    assert_eq!(
        (&done[0]["outcome"], &done[0]["actor"]["type"]),
        (&json!("success"), &json!("system"))
    );
}

fn an_update_that_is_given_up_leaves_the_org_as_it_was(store: Store) {
    let (script, server) = gated(&store, |script| script.start(&store, &[]));
    open(&script, "echo this plan is not sold in eu-1 >&2\nexit 1");
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = id(&org);
    patch(&key, &id, json!({"plan": "free"})).expect(202);
    key.wait(&id, "ready");
    let mut expect = org;
    expect["failure"] =
        json!({"code": "update-failed", "message": "this plan is not sold in eu-1"});
    assert_eq!(read(&key, &id), expect);
    let done = server.events(&format!("org_id={id}&action=org.updated"));
    assert_eq!(done[0]["outcome"], "failed");

    open(&script, "exit 0");
    patch(&key, &id, json!({"plan": "free"})).expect(202);
    key.wait(&id, "ready");
    let actual = read(&key, &id);
    assert_eq!(
        (&actual["plan"], &actual["failure"]),
        (&json!("free"), &Value::Null)
    );
    let status = key.get(&format!("/cp/orgs/{id}/status")).expect(200);
    let steps = status["steps"].as_array().unwrap();
    let names: Vec<_> = steps
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["provision", "workspace", "update"],
        "one for all updates"
    );
}

fn options_are_patched_and_must_satisfy_the_schema_of_the_plan(store: Store) {
    let path = store.folder().join("cp.toml");
    let plans = r#"
        [[plan]]
        id = "small"
        options_schema = { additionalProperties = { type = "integer" } }
        [[plan]]
        id = "large"
        options_schema = { required = ["size"] }
    "#;
    std::fs::write(&path, plans).unwrap();
    let server = store.start_with(&[("MOLECULE_CP_CONFIG", path.to_str().unwrap())]);
    let key = server.key(ALL_SCOPES);
    let request =
        json!({"name": "A", "slug": "acme-corp", "plan": "small", "options": {"a": 1, "b": 2}});
    let id = id(&key.post("/cp/orgs", request).expect(201));
    // Before it is known whether the org can be changed now.
    assert_eq!(
        patch(&key, &id, json!({"options": {"a": "x"}})).pointers(),
        ["/options/a"]
    );
    key.wait(&id, "ready");
    assert_eq!(
        patch(&key, &id, json!({"options": {"a": "x"}})).pointers(),
        ["/options/a"]
    );
    // The options that it has don't suit the other plan.
    assert_eq!(
        patch(&key, &id, json!({"plan": "large"})).pointers(),
        ["/options"]
    );
    let long = json!({"options": {"c": "x".repeat(16 * 1024)}});
    assert_eq!(patch(&key, &id, long).pointers(), ["/options"]);
    patch(&key, &id, json!({"options": {"a": null, "c": 3}})).expect(202);
    key.wait(&id, "ready");
    assert_eq!(read(&key, &id)["options"], json!({"b": 2, "c": 3}));
    patch(
        &key,
        &id,
        json!({"plan": "large", "options": {"size": "XL"}}),
    )
    .expect(202);
    key.wait(&id, "ready");
    let actual = read(&key, &id);
    assert_eq!(
        (&actual["plan"], &actual["options"]),
        (&json!("large"), &json!({"b": 2, "c": 3, "size": "XL"}))
    );
    patch(&key, &id, json!({"plan": "small", "options": null})).expect(202);
    key.wait(&id, "ready");
    assert_eq!(read(&key, &id)["options"], json!({}));
}

fn a_key_limited_to_plans_needs_the_old_one_and_the_new_one(store: Store) {
    let server = store.start();
    let maker = server.key(ALL_SCOPES);
    let id = id(&maker.org("acme-corp"));
    let limited = |plans: &[&str]| {
        server.issue(json!({
            "scopes": ["orgs:update"], "partner_id": maker.partner_id(), "org_plans": plans,
        }))
    };
    for (plans, allowed) in [
        (&["free"][..], false),
        (&["standard"], false),
        (&["standard", "free"], true),
    ] {
        let answer = patch(&limited(plans), &id, json!({"plan": "free"}));
        if allowed {
            answer.expect(202);
        } else {
            answer.problem(403, "org-plan-not-allowed");
        }
    }
    let other = limited(&["enterprise"]);
    patch(&other, &id, json!({"name": "Mine"})).problem(403, "org-plan-not-allowed");
    // A key that acts within the org may change it, and no other.
    let bound = server.issue(json!({"scopes": ORG_SCOPES, "org_id": id}));
    patch(&bound, &id, json!({"name": "Ours"})).expect(200);
    let elsewhere = maker.org("acme-two");
    patch(
        &bound,
        elsewhere["id"].as_str().unwrap(),
        json!({"name": "Ours"}),
    )
    .problem(404, "not-found");
}

fn an_org_can_be_deleted_in_the_middle_of_an_update(store: Store) {
    let (script, server) = gated(&store, |script| script.start(&store, &[]));
    let key = server.key(ALL_SCOPES);
    let id = id(&key.org("acme-corp"));
    patch(&key, &id, json!({"plan": "free"})).expect(202);
    eventually("the program was asked", || {
        script.file("update.json").exists().then_some(())
    });
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    key.wait(&id, "deleted");
    let said: Value = serde_json::from_str(&script.read("deprovision.json")).unwrap();
    assert_eq!(
        (&said["plan"], &said["previous"]),
        (&json!("standard"), &Value::Null)
    );
    let events = server.events(&format!("org_id={id}&action=org.updated"));
    assert_eq!(events.len(), 0, "{events:#?}");
}

fn what_an_admin_does_beside_an_update(store: Store) {
    let (script, server) = gated(&store, |script| script.start(&store, &[]));
    let (key, admin) = (server.key(ALL_SCOPES), server.admin());
    let id = id(&key.org("acme-corp"));
    patch(&key, &id, json!({"plan": "free"})).expect(202);
    for verb in ["suspend", "resume", "retry"] {
        let path = format!("/cp/admin/orgs/{id}/{verb}");
        admin
            .post(&path, Value::Null)
            .problem(409, "org-state-conflict");
    }
    // The subscription is not what the update changes; the plan is.
    let path = format!("/cp/admin/orgs/{id}/subscription");
    let put = |plan: &str| {
        admin.put(
            &path,
            json!({"subscription": {"status": "past_due"}, "plan": plan}),
        )
    };
    assert_eq!(
        put("standard").expect(200)["subscription"]["status"],
        "past_due"
    );
    put("enterprise").problem(409, "org-state-conflict");
    open(&script, "exit 0");
    key.wait(&id, "ready");
    let billing = key.get(&format!("/cp/orgs/{id}/billing")).expect(200);
    assert_eq!(
        (&billing["plan"], &billing["subscription"]["status"]),
        (&json!("free"), &json!("past_due"))
    );
    assert_eq!(put("enterprise").expect(200)["plan"], "enterprise");
}
