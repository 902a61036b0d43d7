//! Where the workspace is, how cargo is called in it, and which files it has.

use std::{
    cell::OnceCell,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Message;

/// Folders that hold no sources, should git not be there to say so.
const NO_SOURCES: &[&str] = &[".git", "target", "data"];

/// The workspace that this program belongs to.
pub(crate) struct Workspace {
    root: PathBuf,
    /// The folder of the programs, once they are built.
    programs: OnceCell<PathBuf>,
}

/// One text file of the workspace.
pub(crate) struct Source {
    /// Its path from the root, with forward slashes.
    pub(crate) path: String,
    /// All of its text.
    pub(crate) text: String,
}

impl Workspace {
    /// The workspace around the crate that cargo runs, or else around the current folder.
    pub(crate) fn find() -> Result<Self> {
        let start = match env::var_os("CARGO_MANIFEST_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => env::current_dir()?,
        };
        let root = start
            .ancestors()
            .find(|folder| folder.join("Cargo.lock").is_file())
            .context("no Cargo.lock here or above")?
            .to_owned();
        Ok(Self {
            root,
            programs: OnceCell::new(),
        })
    }

    /// The folder of the root manifest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A command that runs cargo at the root.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
        command.current_dir(&self.root);
        // What cargo tells this program of its own package. Build scripts look at it, and half of the dependencies
        // would be compiled anew each time that a plain cargo follows this one.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The server's program for checks.
    pub(crate) fn server(&self) -> Result<PathBuf> {
        self.program("molecule-cp")
    }

    /// A program of the workspace for checks. All are built at once, together with the tests: cargo chooses the
    /// features of dependencies by what it builds, so that a program on its own would compile many of them again.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let folder = match self.programs.get() {
            Some(folder) => folder,
            None => {
                let built = self.build(&["--workspace", "--all-targets"], name)?;
                let folder = built.parent().context("a program lies in a folder")?;
                self.programs.get_or_init(|| folder.to_owned())
            }
        };
        Ok(folder.join(name))
    }

    /// Builds a program for release and tells where it is.
    pub(crate) fn release_program(&self, name: &str) -> Result<PathBuf> {
        self.build(&["--package", name, "--release"], name)
    }

    /// Runs `cargo build` and tells where it has put the program of this name.
    fn build(&self, args: &[&str], name: &str) -> Result<PathBuf> {
        let output = self
            .cargo()
            .args(["build", "--quiet"])
            .args(args)
            .arg("--message-format=json-render-diagnostics")
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(output.status.success(), "the workspace does not build");
        for message in Message::parse_stream(&output.stdout[..]) {
            if let Message::CompilerArtifact(artifact) = message?
                && artifact.target.is_bin()
                && artifact.target.name == name
                && !artifact.profile.test
                && let Some(program) = artifact.executable
            {
                return Ok(program.into());
            }
        }
        bail!("cargo built no {name}")
    }

    /// What a cargo command says, when it succeeds.
    pub(crate) fn cargo_output(&self, args: &[&str]) -> Result<String> {
        let output = self.cargo().args(args).output()?;
        ensure!(
            output.status.success(),
            "`cargo {}` failed: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// All text files that are tracked or could be; without git, all in folders that hold sources.
    pub(crate) fn sources(&self) -> Result<Vec<Source>> {
        let mut paths = match self.listed_by_git() {
            Some(paths) => paths,
            None => self.walk()?,
        };
        paths.sort_unstable();
        let read = |path: String| {
            // What is deleted but still listed, and what is not text, is left out.
            let text = fs::read_to_string(self.root.join(&path)).ok()?;
            Some(Source { path, text })
        };
        Ok(paths.into_iter().filter_map(read).collect())
    }

    fn listed_by_git(&self) -> Option<Vec<String>> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others"])
            .arg("--exclude-standard")
            .current_dir(&self.root)
            .output()
            .ok()?;
        if !output.status.success() {
            return None;
        }
        let names = String::from_utf8(output.stdout).ok()?;
        let paths: Vec<_> = names.split_terminator('\0').map(str::to_owned).collect();
        // A copy of the tree within a repository of something else lists nothing.
        (!paths.is_empty()).then_some(paths)
    }

    fn walk(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type()?.is_dir() {
                    let name = entry.file_name();
                    if !NO_SOURCES.iter().any(|skipped| name == *skipped) {
                        folders.push(path);
                    }
                } else if let Some(path) = path.strip_prefix(&self.root)?.to_str() {
                    found.push(path.replace('\\', "/"));
                }
            }
        }
        Ok(found)
    }
}
