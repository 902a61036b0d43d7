//! Settings: secrets in files, names that are misspelt, what is shown, and the modes of what is made.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
};

use crate::kit::{ADMIN_KEY, Server, Store, eventually, tokens};

on_both_engines![
    every_secret_may_stand_in_a_file,
    a_newline_at_the_end_of_a_pepper_does_not_count,
    files_in_the_data_folder_are_private,
    files_of_earlier_versions_become_private,
    an_unusable_data_folder_is_reported_with_its_path,
    an_admin_key_can_be_created_before_the_first_start,
];

const PEPPER: &str = "a-pepper-of-the-tests-with-32-bytes-or-more";

/// What an error says.
#[track_caller]
fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{output:#?}");
    let log = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(log.contains("ERROR"), "{log}");
    log
}

fn file(store: &Store, name: &str, text: &str) -> PathBuf {
    let path = store.folder().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn every_secret_may_stand_in_a_file(store: Store) {
    let files = [
        ("MOLECULE_CP_ADMIN_KEY", ADMIN_KEY),
        ("MOLECULE_CP_PEPPER", PEPPER),
        (
            "MOLECULE_CP_RETIRED_PEPPERS",
            "a-retired-pepper-of-32-bytes-or-more",
        ),
        ("MOLECULE_CP_DATABASE_URL", &store.database_url()),
    ];
    let mut command = store.program(&["serve"], &[]);
    for (name, text) in files {
        let path = file(&store, &name.to_lowercase(), &format!("{text}\r\n"));
        command.env_remove(name).env(format!("{name}_FILE"), path);
    }
    let server = Server::start(command);
    server.admin().get("/cp/whoami").expect(200);
    drop(server);
    // Given as values they are the same.
    let server = store.start_with(&[("MOLECULE_CP_PEPPER", PEPPER)]);
    server.admin().get("/cp/whoami").expect(200);
    let path = store.folder().join("molecule_cp_pepper");
    let both = [
        ("MOLECULE_CP_PEPPER", PEPPER),
        ("MOLECULE_CP_PEPPER_FILE", path.to_str().unwrap()),
    ];
    let log = refused(&store.run(&["config"], &both));
    assert!(log.contains("pepper_file") && log.contains("both"), "{log}");
    let nowhere = [("MOLECULE_CP_PEPPER_FILE", "/nowhere/pepper")];
    let log = refused(&store.run(&["serve"], &nowhere));
    assert!(log.contains("/nowhere/pepper"), "{log}");
}

fn a_newline_at_the_end_of_a_pepper_does_not_count(store: Store) {
    // An earlier version took a newline in the environment as part of the pepper. This is such a
    // database: of two newlines one still counts.
    let earlier = format!("{PEPPER}\n\n");
    let server = store.start_with(&[("MOLECULE_CP_PEPPER", &earlier)]);
    let key = server.key(&["orgs:list"]);
    drop(server);
    let path = file(&store, "a-file", &format!("{PEPPER}\n"));
    for settings in [
        ("MOLECULE_CP_PEPPER", PEPPER),
        ("MOLECULE_CP_PEPPER", &format!("{PEPPER}\n")),
        ("MOLECULE_CP_PEPPER_FILE", path.to_str().unwrap()),
    ] {
        let server = store.start_with(&[settings]);
        server.with_token(key.token()).get("/cp/orgs").expect(200);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn files_in_the_data_folder_are_private(store: Store) {
    let folder = store.folder().join("deep/data");
    let data = folder.to_str().unwrap();
    let settings = [
        ("MOLECULE_CP_DATA_DIR", data),
        ("MOLECULE_CP_ADMIN_KEY", ""),
    ];
    let server = store.start_with(&settings);
    let shown = eventually("the key is shown", || {
        let output = server.output();
        let mut words = output.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words
            .find(|word| word.starts_with("mol_ak_"))
            .map(str::to_owned)
    });
    assert!(tokens::is_well_formed(&shown, "mol_ak_"));
    server.with_token(&shown).get("/cp/whoami").expect(200);
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&store.folder().join("deep")), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    let of_sqlite = ["molecule.db", "molecule.db-shm", "molecule.db-wal"];
    let is_sqlite = store.database_url().starts_with("sqlite");
    let expected: Vec<&str> = ["admin-key"]
        .into_iter()
        .chain(of_sqlite.into_iter().filter(|_| is_sqlite))
        .chain(["pepper"])
        .collect();
    assert_eq!(names, expected);
    // Nobody watches a pipe, so the key is in a file as well, and the log says where.
    let kept = folder.join("admin-key");
    assert_eq!(fs::read_to_string(&kept).unwrap(), format!("{shown}\n"));
    let log = server.log();
    assert!(
        log.contains(kept.to_str().unwrap()) && !log.contains(&shown),
        "{log}"
    );
    drop(server);
    fs::remove_file(&kept).unwrap();
    drop(store.start_with(&settings));
    assert!(!kept.exists(), "the key is made once");
}

fn files_of_earlier_versions_become_private(store: Store) {
    let generated = [("MOLECULE_CP_ADMIN_KEY", "")];
    let mut first = store.start_with(&generated);
    eventually("the first key is written", || {
        store.folder().join("admin-key").exists().then_some(())
    });
    first.kill();
    let files = || {
        fs::read_dir(store.folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    let names: Vec<_> = files().collect();
    for path in &names {
        fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    }
    let server = store.start_with(&generated);
    for path in &names {
        let log = server.log();
        let actual = log.lines().any(|line| {
            line.contains(path.to_str().unwrap()) && line.contains("its mode is now 0600")
        });
        assert!(actual, "{}: {log}", path.display());
    }
    for path in files() {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

fn an_unusable_data_folder_is_reported_with_its_path(store: Store) {
    let in_the_way = file(&store, "in-the-way", "a file");
    for folder in [in_the_way.clone(), in_the_way.join("below")] {
        let settings = [("MOLECULE_CP_DATA_DIR", folder.to_str().unwrap())];
        let log = refused(&store.run(&["serve"], &settings));
        assert!(log.contains(folder.to_str().unwrap()), "{log}");
        assert!(log.contains("os error"), "{log}");
    }
}

fn an_admin_key_can_be_created_before_the_first_start(store: Store) {
    let none = [("MOLECULE_CP_ADMIN_KEY", "")];
    let created = store.run(&["admin-key", "create", "--name", "first"], &none);
    assert!(created.status.success(), "{created:#?}");
    let shown = String::from_utf8(created.stdout).unwrap();
    let at = shown.find("mol_ak_").unwrap();
    let secret = &shown[at..at + 57];
    let server = store.start_with(&none);
    server.with_token(secret).get("/cp/whoami").expect(200);
    assert!(!server.output().contains("mol_ak_"), "{}", server.output());
    drop(server);
    // With another pepper the key would verify nowhere.
    let other = [("MOLECULE_CP_PEPPER", PEPPER)];
    let log = refused(&store.run(&["admin-key", "create"], &other));
    assert!(log.contains("pepper"), "{log}");
}

#[test]
fn a_misspelt_setting_is_reported_with_the_nearest() {
    let store = Store::sqlite();
    for command in ["serve", "config", "migrate"] {
        let misspelt = [("MOLECULE_CP_TRUSTED_PROXY", "10.0.0.0/8")];
        let log = refused(&store.run(&[command], &misspelt));
        assert!(log.contains("MOLECULE_CP_TRUSTED_PROXIES"), "{log}");
    }
    let toml = file(&store, "cp.toml", "\nreserved_slug = \"a\"\n");
    let settings = [("MOLECULE_CP_CONFIG", toml.to_str().unwrap())];
    let log = refused(&store.run(&["config"], &settings));
    assert!(
        log.contains("line 2") && log.contains("reserved_slugs"),
        "{log}"
    );
    // A service of the name `molecule-cp` in Kubernetes.
    let settings = [
        ("MOLECULE_CP_PORT", "tcp://10.0.0.1:80"),
        ("MOLECULE_CP_SERVICE_HOST", "10.0.0.1"),
        ("MOLECULE_CP_PORT_80_TCP_ADDR", "10.0.0.1"),
    ];
    let output = store.run(&["config"], &settings);
    assert!(output.status.success(), "{output:#?}");
}

#[test]
fn a_password_in_a_url_is_neither_shown_nor_logged() {
    let store = Store::sqlite();
    for url in [
        "postgres://me:s3c/ret@127.0.0.1:1/cp",
        "postgres://me:s3c@ret@127.0.0.1:1/cp",
        "postgres://me:s3c?ret@127.0.0.1:1/cp",
        "postgres://127.0.0.1:1/cp?password=s3cret",
        "mysql://me:s3cret@127.0.0.1/cp",
        "s3cret",
    ] {
        for command in ["config", "serve"] {
            let output = store.run(&[command], &[("MOLECULE_CP_DATABASE_URL", url)]);
            let all = [output.stdout, output.stderr].concat();
            let all = String::from_utf8(all).unwrap();
            assert!(!all.contains("s3c") && !all.contains("ret@"), "{all}");
        }
    }
}
