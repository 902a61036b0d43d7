//! Where the binaries of PostgreSQL are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder that has all binaries that are needed, of one version.
pub(super) fn find() -> Option<PathBuf> {
    on_the_path()
        .into_iter()
        .chain(of_debian())
        .chain([PathBuf::from("/usr/local/pgsql/bin")])
        .chain(found_by_pg_config())
        .find(|folder| is_complete(folder))
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres", "psql"]
        .iter()
        .all(|name| folder.join(name).is_file())
}

/// The folders on the path that have an `initdb`, where links lead to.
fn on_the_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .flat_map(|folder| {
            let followed = fs::canonicalize(folder.join("initdb")).ok();
            let real = followed.and_then(|file| file.parent().map(Path::to_owned));
            [Some(folder), real]
        })
        .flatten()
        .collect()
}

/// `/usr/lib/postgresql/*/bin`, the newest first.
fn of_debian() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, bin)| bin).collect()
}

fn found_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(folder.trim()))
}
