//! The routes and scopes as text, for the command line and the docs.

use std::fmt::Write as _;

use api::openapi::{Described, Who, scope_allows};
use scopes::Scope;

const MADE: &str = "Made from the server's own table by `cargo xtask generate`; do not edit.\n\n";

/// The routes, one a line, or as a page for readers of the documentation.
pub fn routes(calls: &[Described], markdown: bool) -> String {
    let mut text = String::new();
    if markdown {
        text += "# Routes\n\n";
        text += MADE;
        text += "| method | path | what | who | audit action |\n|---|---|---|---|---|\n";
    }
    for call in calls {
        let (method, path, who) = (call.method.as_str(), call.path, call.who.phrase());
        // Writing to a string does not fail.
        let _ = if markdown {
            let action = call
                .action
                .map_or_else(|| "not audited".to_owned(), |action| format!("`{action}`"));
            let what = call.operation.summary;
            writeln!(
                text,
                "| `{method}` | `{path}` | {what} | {who} | {action} |"
            )
        } else {
            writeln!(text, "{method:6} {path:35} {who}")
        };
    }
    text
}

/// What each scope allows, as a page.
pub fn scopes(calls: &[Described]) -> String {
    let mut text = format!(
        "# Scopes\n\n{MADE}A key has the scopes that it was made with; none implies \
        another.\n\n| scope | allows |\n|---|---|\n"
    );
    for &scope in Scope::ALL {
        let _ = writeln!(text, "| `{scope}` | {} |", scope_allows(scope));
    }
    text += "\nA call with several marks asks for one of them. Marked in the last column is what every \
        partner key may do, whatever its scopes.\n\n| call | what |";
    for &scope in Scope::ALL {
        let _ = write!(text, " `{scope}` |");
    }
    text += " every key |\n|---|---|";
    text += &":-:|".repeat(Scope::ALL.len() + 1);
    text.push('\n');
    for call in calls {
        let marks: Vec<bool> = match call.who {
            Who::Anyone | Who::Admin => continue,
            Who::Any => Scope::ALL.iter().map(|_| false).chain([true]).collect(),
            Who::Partner(wanted) => Scope::ALL
                .iter()
                .map(|scope| wanted.contains(scope))
                .chain([false])
                .collect(),
        };
        let marks: Vec<_> = marks
            .iter()
            .map(|&mark| if mark { "✓" } else { "" })
            .collect();
        let (method, path, what) = (call.method.as_str(), call.path, call.operation.summary);
        let _ = writeln!(
            text,
            "| `{method} {path}` | {what} | {} |",
            marks.join(" | ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_allows_something() {
        let calls = crate::routes::described();
        for scope in Scope::ALL {
            let used = calls
                .iter()
                .any(|call| matches!(call.who, Who::Partner(wanted) if wanted.contains(scope)));
            assert!(used, "{scope}");
        }
    }
}
