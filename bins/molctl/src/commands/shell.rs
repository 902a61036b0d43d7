//! `molctl completion` and `molctl man`: what a system keeps beside the program.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{args::Cli, failure::Failure, output};

/// Print the completions of a shell.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// The shell.
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "molctl", &mut script);
        output::text(&String::from_utf8_lossy(&script))
    }
}

/// Write the manual pages into a folder.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder, such as /usr/local/share/man/man1.
    folder: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> Result<(), Failure> {
        clap_mangen::generate_to(Cli::command(), &self.folder).map_err(|error| {
            Failure::Local(format!(
                "The pages can't be written to {}: {error}.",
                self.folder.display()
            ))
        })
    }
}
