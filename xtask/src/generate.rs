//! `cargo xtask generate`: files that are generated from the code, and kept beside it.

use std::{
    fs,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;

/// A file that is generated, never written by hand.
pub(crate) struct Generated {
    /// Its path from the root.
    pub(crate) path: &'static str,
    /// Where its text comes from.
    from: Origin,
}

enum Origin {
    /// What the server's program prints when it is called like this.
    ControlPlane(&'static [&'static str]),
}

/// All files that are generated. A new one gets its line here.
pub(crate) fn generated() -> Vec<Generated> {
    let printed = |path, args| Generated {
        path,
        from: Origin::ControlPlane(args),
    };
    vec![
        printed("docs/openapi.json", &["openapi"]),
        printed("docs/routes.md", &["routes", "--markdown"]),
        printed("docs/scopes.md", &["routes", "--scopes"]),
    ]
}

impl Generated {
    /// What the file should say.
    pub(crate) fn text(&self, workspace: &Workspace) -> Result<String> {
        match self.from {
            Origin::ControlPlane(args) => {
                let output = Command::new(workspace.server()?).args(args).output()?;
                ensure!(output.status.success(), "the server's program failed");
                Ok(String::from_utf8(output.stdout)?)
            }
        }
    }
}

/// Runs the verb.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    for file in generated() {
        let text = file.text(workspace).context(file.path)?;
        let path = workspace.root().join(file.path);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            println!("{} is up to date", file.path);
        } else {
            fs::write(&path, text).context(file.path)?;
            println!("{} is written", file.path);
        }
    }
    Ok(ExitCode::SUCCESS)
}
