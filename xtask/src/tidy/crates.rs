//! The members of the workspace and what each asks for by name.

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::workspace::Workspace;

/// The crates that must do without a runtime, a database and a source of randomness.
pub(super) const DOMAIN: &[&str] = &[
    "ids",
    "scopes",
    "ratelimit",
    "keys",
    "orgs",
    "audit",
    "webhooks",
    "stores",
];

/// One member.
pub(super) struct Member {
    /// The name of its package.
    pub(super) name: String,
    /// Its folder, from the root.
    pub(super) folder: String,
    /// What it depends on directly.
    pub(super) dependencies: Vec<Dependency>,
}

/// One direct dependency.
pub(super) struct Dependency {
    /// The name of the package, not what the member calls it.
    pub(super) name: String,
    /// Whether tests alone have it.
    pub(super) dev: bool,
}

/// Asks cargo for the members.
pub(super) fn members(workspace: &Workspace) -> Result<Vec<Member>> {
    let metadata = MetadataCommand::new()
        .current_dir(workspace.root())
        .no_deps()
        .exec()?;
    let root = &metadata.workspace_root;
    metadata
        .workspace_packages()
        .into_iter()
        .map(|package| {
            let folder = package
                .manifest_path
                .strip_prefix(root)?
                .parent()
                .context("a manifest is in a folder")?;
            let dependency = |found: &cargo_metadata::Dependency| Dependency {
                name: found.name.clone(),
                dev: found.kind == DependencyKind::Development,
            };
            Ok(Member {
                name: package.name.to_string(),
                folder: folder.as_str().replace('\\', "/"),
                dependencies: package.dependencies.iter().map(dependency).collect(),
            })
        })
        .collect()
}

#[cfg(test)]
impl Member {
    /// A member for a test; names of dev-dependencies begin with `dev:`.
    pub(super) fn of(name: &str, folder: &str, dependencies: &[&str]) -> Self {
        let dependency = |text: &&str| Dependency {
            name: text.trim_start_matches("dev:").to_owned(),
            dev: text.starts_with("dev:"),
        };
        Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }
}
