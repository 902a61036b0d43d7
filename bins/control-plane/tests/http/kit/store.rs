//! Where a server keeps its data, from one start to the next.

use std::{
    path::Path,
    process::{Command, Output},
    sync::OnceLock,
};

use tempfile::TempDir;
use testkit::server::{self, ADMIN_KEY};

use super::Server;

/// A data folder and a database.
pub struct Store {
    folder: TempDir,
    database_url: Option<String>,
}

impl Store {
    /// With SQLite.
    pub fn sqlite() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            database_url: None,
        }
    }

    /// With PostgreSQL, where that is installed, and a database that has its tables: a copy is made in a fifth of
    /// the time.
    pub fn postgres() -> Option<Self> {
        static ORIGINAL: OnceLock<String> = OnceLock::new();
        let server = testkit::postgres::Server::shared()?;
        let original = ORIGINAL.get_or_init(|| {
            let url = server.new_database();
            let migrated = Self::at(url.clone()).run(&["migrate"], &[]);
            assert!(migrated.status.success(), "{migrated:#?}");
            url
        });
        Some(Self::at(server.copy_of(original)))
    }

    /// With PostgreSQL, where that is installed, and an empty database.
    pub fn empty_postgres() -> Option<Self> {
        let server = testkit::postgres::Server::shared()?;
        Some(Self::at(server.new_database()))
    }

    /// On a database that the test has made.
    pub fn at(database_url: String) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            database_url: Some(database_url),
        }
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL of the database.
    pub fn database_url(&self) -> String {
        self.database_url
            .clone()
            .unwrap_or_else(|| format!("sqlite:{}/molecule.db", self.folder().display()))
    }

    /// Has PostgreSQL refuse a second update of a row in one transaction; a server has made the tables.
    pub fn refuse_second_updates(&self) {
        let server = self
            .database_url
            .as_ref()
            .zip(testkit::postgres::Server::shared());
        if let Some((url, server)) = server {
            server.refuse_second_updates(url);
        }
    }

    /// The program with these settings, an empty one taking a setting away.
    pub fn program(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Command {
        let mut command = server::command(env!("CARGO_BIN_EXE_molecule-cp"));
        command
            .args(arguments)
            .env("MOLECULE_CP_LISTEN", "127.0.0.1:0")
            .env("MOLECULE_CP_DATA_DIR", self.folder())
            .env("MOLECULE_CP_ADMIN_KEY", ADMIN_KEY)
            .envs(settings.iter().copied());
        if let Some(url) = &self.database_url {
            command.env("MOLECULE_CP_DATABASE_URL", url);
        }
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        self.program(arguments, settings).output().unwrap()
    }

    /// Starts a server.
    pub fn start(&self) -> Server {
        self.start_with(&[])
    }

    /// Starts a server with these settings.
    pub fn start_with(&self, settings: &[(&str, &str)]) -> Server {
        Server::start(self.program(&["serve"], settings))
    }
}

/// The same command with these words in place of the name of its program.
pub fn started_by(command: &Command, program: &str, arguments: &[&str]) -> Command {
    let mut other = server::command(program);
    other.args(arguments).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    other
}
