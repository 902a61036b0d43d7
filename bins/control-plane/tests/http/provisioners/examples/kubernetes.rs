//! The example `kubernetes`: each org has a namespace with a quota by its plan.

use std::fs;

use serde_json::{Value, json};

use super::{
    super::{create, failure},
    Example,
};
use crate::kit::{ALL_SCOPES, Caller, Store};

/// What stands for `kubectl` and the cluster behind it. An object is a file `KIND.NAMESPACE.NAME.json`; a token
/// is there from the second look on, as in a cluster that is a little slow.
const KUBECTL: &str = r#"#!/bin/sh
state=${0%/*}/state
echo "$*" >>"$state/calls"
if [ -e "$state/away" ]; then
    echo 'The connection to the server was refused - did you specify the right host or port?' >&2
    exit 1
elif [ -e "$state/forbidden" ]; then
    echo 'Error from server (Forbidden): User "molecule" cannot patch resource "namespaces"' >&2
    exit 1
fi
case $* in
'config view --minify --output=jsonpath={.clusters[0].cluster.server}')
    printf https://cluster.internal:6443
    ;;
'apply --server-side --force-conflicts --field-manager=molecule-cp --filename=-')
    jq -c 'if .kind == "List" then .items[] else error end' | while read -r object; do
        file=$(printf %s "$object" | jq -r '[.kind, .metadata.namespace // "", .metadata.name, "json"] | join(".")')
        case $file in
        Secret.*) [ -e "$state/$file" ] && continue ;;
        esac
        printf '%s\n' "$object" >"$state/$file"
        echo "$file serverside-applied"
    done
    ;;
'get secret customer-token --namespace='*' --output=json')
    namespace=${4#--namespace=}
    file=$state/Secret.$namespace.customer-token.json
    cat "$file" || exit 1
    jq -e .data.token "$file" >/dev/null && exit
    echo x >>"$state/tokens"
    jq --arg n "token $(wc -l <"$state/tokens")" '.data = {token: ($n | @base64), "ca.crt": ("CA" | @base64)}' \
        "$file" >"$file.next" && mv "$file.next" "$file"
    ;;
'delete secret customer-token --namespace='*' --ignore-not-found')
    rm -f "$state/Secret.${4#--namespace=}.customer-token.json"
    ;;
'delete namespace '*' --ignore-not-found --timeout=60s')
    rm -f "$state/Namespace..$3.json" "$state"/*."$3".*.json
    ;;
*)
    echo "the test knows no kubectl $*" >&2
    exit 64
    ;;
esac
"#;

const APPLY: &str =
    "apply --server-side --force-conflicts --field-manager=molecule-cp --filename=-";
const CONFIG: &str = "config view --minify --output=jsonpath={.clusters[0].cluster.server}";

fn example(store: &Store) -> Example {
    Example::new(store, "kubernetes", "kubectl", KUBECTL, &[])
}

fn object(example: &Example, name: &str) -> Value {
    let file = example.folder.join("state").join(format!("{name}.json"));
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn token(key: &Caller, id: &str) -> Value {
    key.get(&format!("/cp/orgs/{id}/secrets")).expect(200)["secrets"]["TOKEN"].clone()
}

#[test]
fn each_org_has_a_namespace_as_long_as_it_lives() {
    let store = Store::sqlite();
    let example = example(&store);
    let server = example.start(&store);
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    let id = org["id"].as_str().unwrap();
    let name = id.to_lowercase().replace('_', "-");
    let get = format!("get secret customer-token --namespace={name} --output=json");
    assert_eq!(example.calls(), [CONFIG, APPLY, &get, &get]);
    assert_eq!(
        org["outputs"],
        json!({"namespace": name, "server": "https://cluster.internal:6443", "certificate_authority": "Q0E="})
    );
    assert_eq!(token(&key, id), "token 1");
    let kinds = [
        format!("LimitRange.{name}.defaults"),
        format!("Namespace..{name}"),
        format!("ResourceQuota.{name}.plan"),
        format!("RoleBinding.{name}.customer"),
        format!("Secret.{name}.customer-token"),
        format!("ServiceAccount.{name}.customer"),
    ];
    assert_eq!(example.kept(".json"), kinds);
    let namespace = || object(&example, &format!("Namespace..{name}"));
    let mut labels = json!({
        "app.kubernetes.io/managed-by": "molecule-cp", "pod-security.kubernetes.io/enforce": "baseline",
        "moleculesai.app/org": id, "moleculesai.app/slug": "acme-corp", "moleculesai.app/plan": "standard",
        "moleculesai.app/partner": key.partner_id(),
    });
    assert_eq!(namespace()["metadata"]["labels"], labels);
    let quota = || object(&example, &format!("ResourceQuota.{name}.plan"))["spec"]["hard"].clone();
    assert_eq!(quota()["pods"], "50");

    let path = format!("/cp/orgs/{id}");
    key.patch(&path, json!({"plan": "enterprise"})).expect(202);
    key.wait(id, "ready");
    assert_eq!(example.calls(), [APPLY]);
    labels["moleculesai.app/plan"] = json!("enterprise");
    assert_eq!(namespace()["metadata"]["labels"], labels);
    assert_eq!(
        quota(),
        json!({"requests.cpu": "16", "requests.memory": "64Gi", "limits.memory": "64Gi", "pods": "200"})
    );
    assert_eq!(token(&key, id), "token 1");

    key.post(&format!("{path}/rotate-secrets"), Value::Null)
        .expect(202);
    key.wait(id, "ready");
    let delete = format!("delete secret customer-token --namespace={name} --ignore-not-found");
    assert_eq!(example.calls(), [CONFIG, &delete, APPLY, &get, &get]);
    assert_eq!(token(&key, id), "token 2");

    // What is there stays as it is.
    let again = example.run("provision", id);
    assert_eq!(again.status.code(), Some(0));
    let said: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(said["secrets"], json!({"TOKEN": "token 2"}));

    key.delete(&path).expect(202);
    key.wait(id, "deleted");
    assert_eq!(example.kept(".json"), [""; 0]);
    assert_eq!(example.run("deprovision", id).status.code(), Some(0));
    example.calls();
    let bad = example.run("provision", "org_1; kubectl delete ns x");
    assert_eq!((bad.status.code(), example.calls()), (Some(1), vec![]));
}

#[test]
fn a_cluster_that_is_away_is_waited_for_and_one_that_refuses_is_not() {
    let store = Store::sqlite();
    let example = example(&store);
    let server = example.start(&store);
    let key = server.key(ALL_SCOPES);
    example.set("away", true);
    let id = create(&key, "acme-corp");
    let message = failure(&key, &id, "provisioner-busy");
    assert_eq!(message, "The cluster can not be reached.");
    example.set("away", false);
    key.wait(&id, "ready");

    example.set("forbidden", true);
    let id = create(&key, "acme-two");
    key.wait(&id, "failed");
    let message = failure(&key, &id, "provisioner-failed");
    assert_eq!(message, "The cluster has refused this.");
}
