//! The example `terraform`: each org has a workspace of a module.

use serde_json::{Value, json};

use super::{
    super::{create, failure},
    Example,
};
use crate::kit::{ALL_SCOPES, Caller, Store};

/// What stands for `terraform`. A workspace is a file `NAME.tfstate` with the outputs.
const TERRAFORM: &str = r#"#!/bin/sh
state=${0%/*}/state
echo "${TF_WORKSPACE-}: $*" | sed 's|=/[^ ]*/org.tfvars.json|=org.tfvars.json|' >>"$state/calls"
[ "$TF_INPUT" = 0 ] || exit 64
file=$state/$TF_WORKSPACE.tfstate
case $* in
*' -var-file='*)
    if [ -e "$state/locked" ]; then
        printf '\nError: Error acquiring the state lock\n\nError message: resource temporarily unavailable\n' >&2
        exit 1
    elif [ -e "$state/broken" ]; then
        printf '\nError: Insufficient quota\n\n  on main.tf line 3, in resource "x" "y":\n' >&2
        exit 1
    fi
    values=${*##*-var-file=}
    values=${values%% *}
    ;;
esac
case $* in
'apply -auto-approve '* | 'apply -replace=random_password.a -replace=random_password.b -auto-approve '*)
    echo x >>"$state/passwords"
    password="password $(wc -l <"$state/passwords")"
    case $* in
    *-replace=*) ;;
    *) [ -e "$file" ] && password=$(jq -r .password.value "$file") ;;
    esac
    jq --arg password "$password" '.org | {
        name: {sensitive: false, value: .name}, plan: {sensitive: false, value: .plan},
        zones: {sensitive: false, value: ["a", "b"]}, port: {sensitive: true, value: 5432},
        password: {sensitive: true, value: $password}
    }' "$values" >"$file.next" && mv "$file.next" "$file"
    echo 'Apply complete!'
    ;;
'destroy -auto-approve '*) [ ! -e "$file" ] || echo '{}' >"$file" ;;
'output -json -no-color') cat "$file" ;;
'workspace list') (cd "$state" && echo '* default' && ls -- *.tfstate 2>/dev/null | sed 's/^/  /; s/.tfstate$//') ;;
'workspace delete '*)
    [ "$(cat "$state/$3.tfstate")" = '{}' ] || exit 1
    rm "$state/$3.tfstate"
    ;;
*)
    echo "the test knows no terraform $*" >&2
    exit 64
    ;;
esac
"#;

const CHANGE: &str = "-auto-approve -lock-timeout=5s -var-file=org.tfvars.json -no-color";

fn example(store: &Store) -> Example {
    let variables = &[("TERRAFORM_ROTATE", "random_password.a random_password.b")];
    Example::new(store, "terraform", "terraform", TERRAFORM, variables)
}

fn secrets(key: &Caller, id: &str) -> Value {
    key.get(&format!("/cp/orgs/{id}/secrets")).expect(200)["secrets"].clone()
}

#[test]
fn each_org_has_a_workspace_as_long_as_it_lives() {
    let store = Store::sqlite();
    let example = example(&store);
    let server = example.start(&store);
    let key = server.key(ALL_SCOPES);
    let request = json!({"name": "Acme ${file(\"/etc/passwd\")}", "slug": "acme", "plan": "free"});
    let org = key.post("/cp/orgs", request.clone()).expect(201);
    let id = org["id"].as_str().unwrap();
    key.wait(id, "ready");
    let (path, name) = (format!("/cp/orgs/{id}"), id.to_lowercase());
    let output = format!("{name}: output -json -no-color");
    let change = |verb: &str| format!("{name}: {verb} {CHANGE}");
    assert_eq!(example.calls(), [&*change("apply"), &output]);
    let outputs = || key.get(&path).expect(200)["outputs"].clone();
    let mut expect = json!({"name": request["name"], "plan": "free", "zones": "[\"a\",\"b\"]"});
    assert_eq!(outputs(), expect);
    assert_eq!(
        secrets(&key, id),
        json!({"password": "password 1", "port": "5432"})
    );

    key.patch(&path, json!({"plan": "enterprise"})).expect(202);
    key.wait(id, "ready");
    assert_eq!(example.calls(), [&*change("apply"), &output]);
    expect["plan"] = json!("enterprise");
    assert_eq!(outputs(), expect);
    assert_eq!(secrets(&key, id)["password"], "password 1");

    key.post(&format!("{path}/rotate-secrets"), Value::Null)
        .expect(202);
    key.wait(id, "ready");
    let rotate = "apply -replace=random_password.a -replace=random_password.b";
    assert_eq!(example.calls(), [&*change(rotate), &output]);
    assert_eq!(secrets(&key, id)["password"], "password 3");

    key.delete(&path).expect(202);
    key.wait(id, "deleted");
    let ended = [
        change("destroy"),
        ": workspace list".to_owned(),
        format!("default: workspace delete {name} -no-color"),
    ];
    assert_eq!(example.calls(), ended);
    assert_eq!(example.kept(".tfstate"), [""; 0]);

    // Without the org there is nothing to apply.
    assert_eq!(example.run("provision", id).status.code(), Some(1));
    assert_eq!(example.run("provision", "../x").status.code(), Some(1));
    assert_eq!(example.calls(), [""; 0]);
}

#[test]
fn a_locked_state_is_waited_for_and_an_error_is_told() {
    let store = Store::sqlite();
    let example = example(&store);
    let server = example.start(&store);
    let key = server.key(ALL_SCOPES);
    example.set("locked", true);
    let id = create(&key, "acme-corp");
    let message = failure(&key, &id, "provisioner-busy");
    assert_eq!(message, "The state is locked by another run.");
    example.set("locked", false);
    key.wait(&id, "ready");

    example.set("broken", true);
    let id = create(&key, "acme-two");
    key.wait(&id, "failed");
    let message = failure(&key, &id, "provisioner-failed");
    assert_eq!(message, "Insufficient quota");
}
