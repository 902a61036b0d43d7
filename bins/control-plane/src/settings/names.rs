//! Refuses unknown names of settings: most are misspelt, and a setting without effect does harm.

use std::{ffi::OsString, iter};

use anyhow::bail;

const PREFIX: &str = "MOLECULE_CP_";

/// Refuses unknown variables with our prefix.
pub fn check_environment(
    known: &[&str],
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> anyhow::Result<()> {
    let mut unknown: Vec<String> = variables
        .filter_map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            let is_ours = name.starts_with(PREFIX)
                && !known.contains(&name.as_str())
                && !is_of_a_service(&name, &value.to_string_lossy());
            is_ours.then_some(name)
        })
        .collect();
    unknown.sort_unstable();
    let Some(first) = unknown.first() else {
        return Ok(());
    };
    bail!("{}", unknown_name(first, known, PREFIX))
}

/// Refuses unknown names in a TOML file.
pub fn check_file(known: &[&str], text: &str) -> anyhow::Result<()> {
    // The parser reports what is no TOML.
    let Ok(table) = text.parse::<toml::Table>() else {
        return Ok(());
    };
    let Some(unknown) = table.keys().find(|name| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let names_it = |line: &str| {
        line.trim_start()
            .trim_start_matches(['[', '"'])
            .starts_with(unknown)
    };
    let line = iter::zip(1.., text.lines()).find(|(_, line)| names_it(line));
    let line: u32 = line.map_or(0, |(number, _)| number);
    bail!("line {line}: {}", unknown_name(unknown, known, ""))
}

fn unknown_name(unknown: &str, known: &[&str], prefix: &str) -> String {
    match nearest(unknown, known, prefix) {
        Some(nearest) => format!("{unknown} is not a setting; did you mean {nearest}?"),
        None => format!("{unknown} is not a setting; `molecule-cp --help` lists them"),
    }
}

/// The name with the smallest edit distance, unless that is large.
fn nearest<'a>(unknown: &str, known: &[&'a str], prefix: &str) -> Option<&'a str> {
    let own = |name: &str| {
        name.strip_prefix(prefix)
            .unwrap_or(name)
            .to_ascii_lowercase()
    };
    let unknown = own(unknown);
    known
        .iter()
        .map(|name| (strsim::osa_distance(&unknown, &own(name)), *name))
        .min()
        .filter(|(distance, name)| distance * 2 <= own(name).len().max(unknown.len()))
        .map(|(_, name)| name)
}

/// Whether Kubernetes sets this variable in every container, because there is a service whose name
/// begins with `molecule-cp`: `MOLECULE_CP_SERVICE_HOST`, `MOLECULE_CP_PORT_8080_TCP_ADDR` and the like.
fn is_of_a_service(name: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    // `MOLECULE_CP` itself is the service, or the beginning of its name.
    let rest = name.strip_prefix("MOLECULE_CP").unwrap_or(name);
    let of_port = |rest: &str| {
        let port = rest.rsplit_once("_PORT_").map(|(_, port)| port);
        let mut parts = port.unwrap_or_default().split('_');
        parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
            && parts
                .next()
                .is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
    };
    rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
        || (rest.ends_with("_PORT") && is_url)
        || of_port(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &[
        "MOLECULE_CP_LISTEN",
        "MOLECULE_CP_PEPPER",
        "MOLECULE_CP_PEPPER_FILE",
    ];

    fn environment(variables: &[(&str, &str)]) -> anyhow::Result<()> {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        check_environment(KNOWN, variables)
    }

    #[track_caller]
    fn refused(name: &str, by: &str) {
        let text = environment(&[(name, "x")]).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains(by), "{text}");
    }

    #[test]
    fn a_misspelt_variable_is_reported_with_the_nearest() {
        refused("MOLECULE_CP_LISTN", "MOLECULE_CP_LISTEN?");
        refused("MOLECULE_CP_PEPER_FILE", "MOLECULE_CP_PEPPER_FILE?");
        refused("MOLECULE_CP_SOMETHING_ELSE_ALTOGETHER", "--help");
        environment(&[
            ("MOLECULE_CP_LISTEN", "x"),
            ("PATH", "x"),
            ("MOLECULE_ORG_ID", "x"),
        ])
        .unwrap();
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_of_our_name_is_not_ours() {
        environment(&[
            ("MOLECULE_CP_SERVICE_HOST", "10.0.0.1"),
            ("MOLECULE_CP_SERVICE_PORT", "8080"),
            ("MOLECULE_CP_SERVICE_PORT_HTTP", "8080"),
            ("MOLECULE_CP_PORT", "tcp://10.0.0.1:8080"),
            ("MOLECULE_CP_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("MOLECULE_CP_PORT_8080_TCP_PROTO", "tcp"),
            ("MOLECULE_CP_PORT_8080_TCP_PORT", "8080"),
            ("MOLECULE_CP_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("MOLECULE_CP_METRICS_SERVICE_HOST", "10.0.0.2"),
            ("MOLECULE_CP_METRICS_PORT_9_TCP_ADDR", "10.0.0.2"),
        ])
        .unwrap();
        refused("MOLECULE_CP_PORT", "not a setting");
    }

    #[test]
    fn a_name_in_a_file_is_reported_with_its_line_and_the_nearest() {
        let error = |text: &str| {
            check_file(&["listen", "pepper"], text)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("# a comment\nlisten = \"x\"\n\npeper = \"secret\"\n"),
            "line 4: peper is not a setting; did you mean pepper?"
        );
        check_file(&["listen"], "listen = \"x\"").unwrap();
    }
}
