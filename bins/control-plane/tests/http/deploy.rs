//! The files in deploy/ fit the program.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::kit::Store;

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
