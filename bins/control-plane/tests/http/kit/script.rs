//! Programs of an operator's, written in shell.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{Server, Store, eventually};

/// A shell script that provisions, and the folder that it works in.
pub struct Script {
    folder: PathBuf,
}

impl Script {
    /// A script with these lines. It starts in its folder, with the verb in `$1`.
    pub fn new(store: &Store, lines: &str) -> Self {
        // No shell may see this name.
        let folder = store.folder().join("it's a folder; with $SPECIAL letters");
        fs::create_dir(&folder).unwrap();
        let script = Self { folder };
        script.write(lines);
        script
    }

    /// Puts other lines in the place of those that there are.
    pub fn write(&self, lines: &str) {
        let next = self.folder.join("next");
        fs::write(&next, format!("#!/bin/sh\ncd \"${{0%/*}}\"\n{lines}\n")).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(next, self.path()).unwrap();
    }

    /// The script's own path.
    pub fn path(&self) -> PathBuf {
        self.folder.join("provision")
    }

    /// A file that the script works with.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What is in a file, nothing if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// The numbers of processes that the script has written into a file, once there are so many.
    #[track_caller]
    pub fn processes(&self, name: &str, count: usize) -> Vec<u32> {
        eventually("the script has begun", || {
            let text = self.read(name);
            let found: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            (found.len() >= count).then_some(found)
        })
    }

    /// Starts a server that has this script provision.
    #[track_caller]
    pub fn start(&self, store: &Store, settings: &[(&str, &str)]) -> Server {
        let path = self.path();
        let mut all = vec![
            ("MOLECULE_CP_PROVISIONER", "exec"),
            ("MOLECULE_CP_PROVISIONER_EXEC", path.to_str().unwrap()),
        ];
        all.extend_from_slice(settings);
        store.start_with(&all)
    }
}

/// Whether a process runs. One that has ended and that nobody has looked after does not.
pub fn lives(process: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
    let stat = stat.unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}
