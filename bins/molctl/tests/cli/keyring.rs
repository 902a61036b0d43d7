//! A key in a real keyring, on a bus of its own.

use std::{fs, process::Command};

use testkit::{missing, server::ADMIN_KEY};

use crate::{
    flow::start,
    kit::{Home, Ran},
};

/// Opens the keyring, and does what stands behind it.
const SCRIPT: &str = r#"
printf password | gnome-keyring-daemon --unlock --components=secrets > /dev/null 2>&1
molctl login --server "$SERVER" --key-file key -o json > login.json
rm key
env -u MOLCTL_KEY molctl whoami -o json
molctl login --server "$SERVER" --profile filed --in-file -o json < /dev/null > filed.json
"#;

#[test]
fn a_key_is_kept_in_the_keyring_of_the_system() {
    let is_there = |program: &str| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output();
        found.is_ok_and(|found| found.status.success())
    };
    if !is_there("dbus-run-session") || !is_there("gnome-keyring-daemon") {
        missing::report("gnome-keyring");
        return;
    }
    let home = Home::new();
    let server = start(&home, None);
    home.write("key", ADMIN_KEY);
    let molctl = home.command(&[]);
    let programs = std::path::Path::new(molctl.get_program()).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut session = Command::new("dbus-run-session");
    session
        .args(["--", "bash", "-euc", SCRIPT])
        .env_clear()
        .env("PATH", path)
        .env("HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env("NO_PROXY", "*")
        .env("SERVER", server.url())
        .env("MOLCTL_KEY", ADMIN_KEY)
        .current_dir(home.path());
    let ran = Ran::of(session, &["whoami"]).ended(0);
    let whoami = ran.json();
    let key = whoami["key"].as_str().unwrap();
    assert!(key.ends_with("from profile default (keyring)"), "{key}");
    let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
    assert!(read("login.json").contains(r#""kept_in": "keyring""#));
    assert!(!read("filed.json").contains(r#""kept_in": "keyring""#));
    let config = fs::read_to_string(home.config()).unwrap();
    let (default, filed) = (
        config.find("[profiles.default]").unwrap(),
        config.find("[profiles.filed]").unwrap(),
    );
    assert!(
        default < filed && config.matches(ADMIN_KEY).count() == 1,
        "{config}"
    );

    // Without the bus, the key can't be had, and that is said.
    home.run(&["whoami"])
        .ended(4)
        .says("can't be read from the keyring");
    home.run(&["whoami", "--profile", "filed"]).ended(0);
}
