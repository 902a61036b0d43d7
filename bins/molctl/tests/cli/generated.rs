//! The clients in `examples/` that are made from the OpenAPI document: what a pipeline does, with a real server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use testkit::{node, python, server::Server};

use crate::{flow::start, kit::Home};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
}

/// What a command prints; it must end well.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Runs the flow with a key of a pipeline, and checks what it printed and what is left.
#[track_caller]
fn check(server: &Server, flow: &mut Command) {
    let scopes = [
        "orgs:create",
        "orgs:list",
        "orgs:delete",
        "workspaces:create",
    ];
    let key = server.key(serde_json::json!({"scopes": scopes})).unwrap();
    flow.env("MOLCTL_SERVER", server.url())
        .env("MOLCTL_KEY", &key.secret)
        .env("NO_PROXY", "*");
    let printed = output(flow);
    let path = "/cp/admin/orgs?status=deleted";
    let orgs = server.admin().get(path).unwrap().expect(200).unwrap();
    let org = &orgs["data"][0];
    let text = |name: &str| org[name].as_str().unwrap();
    assert_eq!(
        printed,
        format!(
            "ready {} {}\nworkspaces qa-team default\ndeleted\n",
            text("id"),
            text("login_url")
        )
    );
    // A refusal names its code.
    flow.env("MOLCTL_KEY", "mol_pk_none");
    let refused = flow.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("invalid-key"),
        "{said}"
    );
}

#[test]
fn python_with_httpx() {
    let example = example("python");
    let requirements = fs::read_to_string(example.join("requirements.txt")).unwrap();
    let Some(python) = python::environment("python-client", &[requirements.trim()]) else {
        return;
    };
    let home = Home::new();
    let server = start(&home, None);
    let client = home.path().join("client");
    let mut generate = Command::new(python.with_file_name("openapi-python-client"));
    generate
        .arg("generate")
        .args(["--url", &format!("{}/cp/openapi.json", server.url())])
        .arg("--config")
        .arg(example.join("client.yaml"))
        .arg("--output-path")
        .arg(&client);
    let said = output(&mut generate);
    assert!(!said.contains("Warning"), "{said}");
    let mut flow = Command::new(python);
    flow.arg(example.join("flow.py"))
        .env("PYTHONPATH", client)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    check(&server, &mut flow);
}

#[test]
fn typescript_with_openapi_fetch() {
    let Some(path) = node::path() else {
        return;
    };
    let example = example("typescript");
    let folder = node::packages("typescript", &example, &path).unwrap();
    for file in ["flow.ts", "tsconfig.json"] {
        fs::copy(example.join(file), folder.join(file)).unwrap();
    }
    let home = Home::new();
    let server = start(&home, None);
    let npm = |script: &str| {
        let mut npm = Command::new("npm");
        npm.args(["run", "--silent", script])
            .current_dir(&folder)
            .env("PATH", &path)
            .env("MOLCTL_SERVER", server.url())
            .stdin(Stdio::null());
        npm
    };
    output(&mut npm("types"));
    output(&mut npm("build"));
    check(&server, &mut npm("start"));
}
