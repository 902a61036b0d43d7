//! The programs of `examples/provisioners`.

mod kubernetes;
mod postgres_schema;
mod terraform;

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::kit::{Server, Store};

/// The program of an example.
fn program(example: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/provisioners");
    root.join(example).join("provision")
}

/// A `PATH` on which this folder is the first.
fn path_with(folder: &Path) -> String {
    let others = env::var_os("PATH").unwrap();
    let all = [folder.to_owned()]
        .into_iter()
        .chain(env::split_paths(&others));
    env::join_paths(all).unwrap().into_string().unwrap()
}

/// An example, and a script in the place of the tool that it calls.
struct Example {
    program: PathBuf,
    /// Where the script is, and what it keeps.
    folder: PathBuf,
    path: String,
    /// Further variables of the example.
    variables: &'static [(&'static str, &'static str)],
}

impl Example {
    fn new(
        store: &Store,
        example: &str,
        tool: &str,
        script: &str,
        variables: &'static [(&'static str, &'static str)],
    ) -> Self {
        let folder = store.folder().join(tool);
        fs::create_dir_all(folder.join("state")).unwrap();
        let file = folder.join(tool);
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            program: program(example),
            path: path_with(&folder),
            folder,
            variables,
        }
    }

    fn start(&self, store: &Store) -> Server {
        let names: Vec<&str> = self.variables.iter().map(|(name, _)| *name).collect();
        let names = names.join(",");
        let mut settings = vec![
            ("MOLECULE_CP_PROVISIONER", "exec"),
            (
                "MOLECULE_CP_PROVISIONER_EXEC",
                self.program.to_str().unwrap(),
            ),
            ("MOLECULE_CP_PROVISIONER_ENV", &names),
            ("PATH", &self.path),
        ];
        settings.extend_from_slice(self.variables);
        store.start_with(&settings)
    }

    /// Runs the program by hand.
    fn run(&self, verb: &str, id: &str) -> Output {
        let mut command = Command::new(&self.program);
        command
            .arg(verb)
            .envs(self.variables.iter().copied())
            .env("PATH", &self.path)
            .env("MOLECULE_ORG_ID", id)
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Has the tool fail from now on in this way, or no longer.
    fn set(&self, fault: &str, is_set: bool) {
        let file = self.folder.join("state").join(fault);
        if is_set {
            fs::write(file, "").unwrap();
        } else {
            fs::remove_file(file).unwrap();
        }
    }

    /// The names of what the tool keeps, of these kinds.
    fn kept(&self, suffix: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.join("state")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names
            .filter_map(|name| Some(name.strip_suffix(suffix)?.to_owned()))
            .collect();
        names.sort();
        names
    }

    /// The calls of the tool since this was last asked for.
    fn calls(&self) -> Vec<String> {
        let file = self.folder.join("state/calls");
        let calls = fs::read_to_string(&file).unwrap_or_default();
        fs::write(file, "").unwrap();
        calls.lines().map(str::to_owned).collect()
    }
}
