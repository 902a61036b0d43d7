//! The files in deploy/ fit the program.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use testkit::missing;

use crate::kit::{ALL_SCOPES, Store, eventually};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

/// All files in a folder and in those within it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn settings(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
    text.split(|c| !is_part(c))
        .filter(|word| word.starts_with("MOLECULE_CP_"))
        .collect()
}

#[test]
fn all_settings_that_are_named_exist() {
    let output = Store::sqlite().run(&["--help"], &[]);
    let help = String::from_utf8(output.stdout).unwrap();
    let known = settings(&help);
    assert!(known.contains("MOLECULE_CP_LISTEN"), "{help}");
    let mut found = 0;
    for path in files(&folder()) {
        let text = fs::read_to_string(&path).unwrap();
        for name in settings(&text) {
            assert!(
                known.contains(name),
                "{name} in {} is no setting",
                path.display()
            );
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
}

#[test]
fn nginx_is_set_up_the_same_way_for_containers() {
    let without_comments = |text: String| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let tested = read("nginx/molecule-cp.conf")
        .replace("127.0.0.1:8081", "cp-1:8080")
        .replace("127.0.0.1:8082", "cp-2:8080")
        .replace("listen 127.0.0.1:8080", "listen 8080");
    assert_eq!(
        without_comments(read("docker/nginx.conf")),
        without_comments(tested)
    );
}

#[test]
fn the_systemd_service_is_well_confined() {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager", "--threshold=20"]);
    analyze.arg(folder().join("systemd/molecule-cp.service"));
    match analyze.output() {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        ),
        Err(error) => eprintln!("SKIPPED: systemd-analyze can't be run: {error}"),
    }
}

/// The metrics that an expression names. Prometheus makes `up` itself.
fn metrics(expression: &str) -> impl Iterator<Item = &str> {
    const LABELS: [&str; 3] = [
        "http_request_method",
        "http_route",
        "http_response_status_code",
    ];
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| {
        let ours = ["molecule_", "http_", "process_"];
        ours.iter().any(|prefix| word.starts_with(prefix)) && !LABELS.contains(word)
    })
}

/// The expressions in a dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if ["expr", "query"].contains(&&**name) => {
                        found.push(text.to_owned());
                    }
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The names of a server's metrics, once it has served and measured something.
fn served() -> BTreeSet<String> {
    let store = Store::sqlite();
    let server = store.start();
    let key = server.key(ALL_SCOPES);
    let org = key.org("acme-corp");
    key.wait(org["id"].as_str().unwrap(), "ready");
    let names = || {
        let text = server.anon().get("/metrics").body;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let names = samples.filter_map(|line| line.split(['{', ' ']).next());
        names.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    eventually("the measurement of webhooks", || {
        Some(names()).filter(|names| names.contains("molecule_webhook_attempts_total"))
    })
}

#[test]
fn alerts_and_dashboards_name_metrics_that_a_server_has() {
    let served = served();
    let dashboard: Value = serde_json::from_str(&read("grafana/molecule-cp.json")).unwrap();
    let mut texts = Vec::new();
    expressions(&dashboard, &mut texts);
    assert!(texts.len() > 20, "{texts:?}");
    texts.push(read("prometheus/alerts.yml"));
    let mut seen = 0;
    for name in texts.iter().flat_map(|text| metrics(text)) {
        assert!(served.contains(name), "no server has {name}: {served:#?}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ] {
        let mut promtool = Command::new("promtool");
        promtool
            .args(arguments)
            .current_dir(folder().join("prometheus"));
        match promtool.output() {
            Ok(output) => assert!(output.status.success(), "{output:#?}"),
            Err(_) => return missing::report("promtool (Debian's package prometheus)"),
        }
    }
}
