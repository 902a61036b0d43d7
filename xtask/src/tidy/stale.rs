//! Generated files say what the code says.

use super::Problem;
use crate::{
    generate::generated,
    workspace::{Source, Workspace},
};

const RULE: &str = "generated";

/// Makes the text of each generated file anew and compares.
pub(super) fn check(workspace: &Workspace, sources: &[Source]) -> Vec<Problem> {
    generated()
        .iter()
        .filter_map(|file| {
            let found = sources.iter().find(|source| source.path == file.path);
            let advice = match (file.text(workspace), found) {
                (Err(error), _) => one_line(&format!("it can't be made: {error:#}")),
                (Ok(text), Some(source)) if source.text == text => return None,
                (Ok(_), Some(_)) => "it is stale: run `cargo xtask generate`".into(),
                (Ok(_), None) => "it is missing: run `cargo xtask generate`".into(),
            };
            Some(Problem::new(RULE, file.path, advice))
        })
        .collect()
}

/// A compiler can say much; its first line is enough to find out more.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
