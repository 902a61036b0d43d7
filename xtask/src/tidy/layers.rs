//! Who may know whom among our own crates.

use super::{Problem, crates::Member};

const RULE: &str = "layers";

/// The crates of `crates/` from the ground up, each with those that it may know.
///
/// The layers are: what everything stands on (`ids`, `scopes`, `ratelimit`), the domain (`keys`,
/// `orgs`, `audit`, `webhooks`), the unit of work over it (`stores`), and then side by side what is
/// stored (`storage`), what is said on the wire (`api`) and what is done (`service`).
const LAYERS: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("scopes", &[]),
    ("ratelimit", &["ids"]),
    ("keys", &["ids", "scopes", "ratelimit"]),
    ("orgs", &["ids", "scopes", "ratelimit"]),
    ("audit", &["ids", "scopes", "ratelimit"]),
    ("webhooks", &["ids", "scopes", "ratelimit"]),
    (
        "stores",
        &[
            "ids",
            "scopes",
            "ratelimit",
            "keys",
            "orgs",
            "audit",
            "webhooks",
        ],
    ),
    (
        "api",
        &[
            "ids",
            "scopes",
            "ratelimit",
            "keys",
            "orgs",
            "audit",
            "webhooks",
        ],
    ),
    (
        "storage",
        &[
            "ids",
            "scopes",
            "ratelimit",
            "keys",
            "orgs",
            "audit",
            "webhooks",
            "stores",
        ],
    ),
    (
        // Of `api` it uses the error table, the statuses, and the views that messages to webhooks show.
        "service",
        &[
            "ids",
            "scopes",
            "ratelimit",
            "keys",
            "orgs",
            "audit",
            "webhooks",
            "stores",
            "api",
        ],
    ),
    (
        "testkit",
        &[
            "ids",
            "scopes",
            "ratelimit",
            "keys",
            "orgs",
            "audit",
            "webhooks",
            "stores",
        ],
    ),
];

/// What a service of somebody else takes.
const EXAMPLES: &[&str] = &["ids", "scopes", "ratelimit", "keys"];

/// Checks the normal dependencies of every member on other members.
pub(super) fn check(members: &[Member]) -> Vec<Problem> {
    let ours = |name: &str| members.iter().any(|member| member.name == name);
    let mut problems = Vec::new();
    for member in members {
        let Some(may_know) = rule_of(member) else {
            let advice = "it has no rule: add a line to LAYERS in xtask/src/tidy/layers.rs";
            problems.push(Problem::new(RULE, &member.name, advice));
            continue;
        };
        for known in &member.dependencies {
            if known.dev || !ours(&known.name) || may_know.allows(&known.name) {
                continue;
            }
            let advice = if known.name == "testkit" {
                "move testkit to its dev-dependencies, tests alone know it".to_owned()
            } else {
                format!("it may not know {}: move what it needs down", known.name)
            };
            problems.push(Problem::new(RULE, &member.name, advice));
        }
    }
    problems
}

/// Which of our crates a member may know.
enum MayKnow {
    /// All but `testkit`.
    All,
    /// All, for what is measured needs what tests need and goes nowhere.
    TestsToo,
    /// These.
    Only(&'static [&'static str]),
}

impl MayKnow {
    fn allows(&self, name: &str) -> bool {
        match self {
            Self::All => name != "testkit",
            Self::TestsToo => true,
            Self::Only(names) => names.contains(&name),
        }
    }
}

fn rule_of(member: &Member) -> Option<MayKnow> {
    if member.folder.starts_with("bench/") {
        Some(MayKnow::TestsToo)
    } else if member.folder.starts_with("bins/") {
        Some(MayKnow::All)
    } else if member.folder.starts_with("examples/") {
        Some(MayKnow::Only(EXAMPLES))
    } else if member.folder == "xtask" {
        Some(MayKnow::Only(&[]))
    } else {
        LAYERS
            .iter()
            .find(|(name, _)| *name == member.name)
            .map(|(_, may_know)| MayKnow::Only(may_know))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_that(members: &[Member], expect: &[&str]) {
        let found: Vec<_> = check(members).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect);
    }

    fn member(name: &str, knows: &[&str]) -> Member {
        Member::of(name, &format!("crates/{name}"), knows)
    }

    #[test]
    fn downwards_is_allowed() {
        check_that(
            &[
                member("ids", &["serde"]),
                member("keys", &["ids", "dev:testkit"]),
                member("testkit", &["keys", "ids"]),
                Member::of("molecule-cp", "bins/control-plane", &["keys", "ids"]),
            ],
            &[],
        );
    }

    #[test]
    fn upwards_and_sideways_are_found() {
        check_that(
            &[
                member("ids", &["keys"]),
                member("keys", &["orgs"]),
                member("orgs", &[]),
                member("storage", &["api", "service"]),
                member("api", &[]),
                member("service", &["api"]),
                Member::of("embedding", "examples/embedding", &["orgs"]),
            ],
            &[
                "tidy: layers: ids: it may not know keys: move what it needs down",
                "tidy: layers: keys: it may not know orgs: move what it needs down",
                "tidy: layers: storage: it may not know api: move what it needs down",
                "tidy: layers: storage: it may not know service: move what it needs down",
                "tidy: layers: embedding: it may not know orgs: move what it needs down",
            ],
        );
    }

    #[test]
    fn tests_alone_know_the_testkit() {
        check_that(
            &[
                member("testkit", &[]),
                Member::of("molecule-cp", "bins/control-plane", &["testkit"]),
                member("service", &["dev:testkit"]),
                Member::of("bench-crash", "bench/crash", &["testkit"]),
            ],
            &[
                "tidy: layers: molecule-cp: move testkit to its dev-dependencies, \
               tests alone know it",
            ],
        );
    }

    #[test]
    fn a_crate_without_a_rule_is_told_where_to_get_one() {
        check_that(
            &[member("novel", &[])],
            &["tidy: layers: novel: it has no rule: \
               add a line to LAYERS in xtask/src/tidy/layers.rs"],
        );
    }
}
