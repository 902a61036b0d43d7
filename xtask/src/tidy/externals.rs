//! Which member may ask for which crates of others, in its code and in its tests.

use super::{Problem, crates::Member};

const RULE: &str = "externals";

/// The database and its drivers.
const DATABASE: &[&str] = &[
    "diesel",
    "diesel_migrations",
    "r2d2",
    "libsqlite3-sys",
    "pq-sys",
    "openssl-sys",
];

/// Checks the direct dependencies of every member.
pub(super) fn check(members: &[Member]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for member in members {
        for known in &member.dependencies {
            if let Some(place) = place_of(&known.name, member) {
                let advice = format!("it may not depend on {}, which {place}", known.name);
                problems.push(Problem::new(RULE, &member.name, advice));
            }
        }
    }
    problems
}

/// Where the dependency belongs, when that is not here.
fn place_of(name: &str, member: &Member) -> Option<&'static str> {
    // A measurement compares the server with a bare one of the same kind.
    let in_bins = ["bins/", "bench/"]
        .iter()
        .any(|folder| member.folder.starts_with(folder));
    let in_crates = member.folder.starts_with("crates/");
    // The bare one can be measured with an engine alone, too.
    let holds_database =
        ["storage", "testkit"].contains(&member.name.as_str()) || member.folder == "bench/bare";
    if DATABASE.contains(&name) && !holds_database {
        Some("belongs to storage alone")
    } else if is_of("actix", name) && !in_bins {
        Some("belongs to bins and bench alone")
    } else if in_crates && ["http", "hyper", "axum"].iter().any(|web| is_of(web, name)) {
        Some("belongs above crates/: HTTP ends in bins")
    } else {
        None
    }
}

/// Whether a crate is the named one or one of its family: `actix`, `actix-web`, but not `actixlike`.
pub(super) fn is_of(family: &str, name: &str) -> bool {
    name.strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_one(folder: &str, depends_on: &str, allowed: bool) {
        let name = folder.rsplit('/').next().unwrap();
        let found = check(&[Member::of(name, folder, &[depends_on])]);
        assert_eq!(found.is_empty(), allowed, "{folder} {depends_on} {found:?}");
    }

    #[test]
    fn the_database_is_held_by_storage() {
        check_one("crates/storage", "diesel", true);
        check_one("crates/testkit", "dev:diesel", true);
        check_one("bench/bare", "diesel", true);
        check_one("bench/growth", "diesel", false);
        check_one("crates/keys", "diesel", false);
        check_one("bins/control-plane", "libsqlite3-sys", false);
        check_one("crates/service", "dev:r2d2", false);
    }

    #[test]
    fn the_web_is_held_by_bins() {
        check_one("bins/control-plane", "actix-web", true);
        check_one("bench/bare", "actix-web", true);
        check_one("crates/api", "actix-web", false);
        check_one("examples/embedding", "actix-web", false);
        check_one("examples/embedding", "axum", true);
        check_one("crates/api", "http", false);
        check_one("crates/api", "hyper-util", false);
        check_one("crates/api", "httpdate", true);
    }
}
