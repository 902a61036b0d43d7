//! `cargo xtask docs`: runs the commands that the documents tell their readers to run.
//!
//! The blocks `sh` of one document are one script, run in a folder of its server, which serves for the first
//! time. Documents that a reader tries one after the other share both. Blocks of another kind, such as
//! `console`, are shown and not run.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, ExitCode, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::{test::Outcome, workspace::Workspace};

/// The documents whose commands are run.
const DOCUMENTS: &[&[&str]] = &[
    &["README.md", "docs/partner-guide.md"],
    &["docs/operator-guide.md"],
    &["docs/leaks.md"],
    &["docs/restarts.md"],
    &["docs/provisioning.md"],
    &["docs/keyless.md"],
    &["docs/molctl.md"],
];

/// What the scripts call beside what every system has.
const TOOLS: &[&str] = &["bash", "curl"];

/// The first line of a script: it says which line of the document went wrong.
const TRAP: &str = r#"trap 'printf "line %s: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR"#;

/// How long one script may take.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(120);
/// How often to look whether it has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Runs the verb.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let mut outcome = Outcome::default();
    check(workspace, &mut outcome)?;
    Ok(outcome.print())
}

/// Runs every document, and counts each as one test.
pub(crate) fn check(workspace: &Workspace, outcome: &mut Outcome) -> Result<()> {
    if let Some(tool) = TOOLS.iter().find(|tool| !is_there(tool)) {
        outcome.skip(format!("the commands in the documents: there is no {tool}"));
        return Ok(());
    }
    // `molctl` lies beside it, and so on the search path of the scripts.
    let program = workspace.server()?;
    println!();
    for documents in DOCUMENTS {
        let folder = tempfile::tempdir()?;
        let server = Server::start(&program, &folder)?;
        for document in *documents {
            let result = check_one(workspace, document, &program, (&server, &folder));
            let result_text = match &result {
                Ok(()) => "ok".to_owned(),
                Err(error) => format!("FAILED\n{error:#}"),
            };
            println!("commands of {document} ... {result_text}");
            outcome.count(result.is_ok());
        }
    }
    Ok(())
}

fn is_there(tool: &str) -> bool {
    Command::new(tool)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn check_one(
    workspace: &Workspace,
    document: &str,
    program: &Path,
    (server, folder): (&Server, &TempDir),
) -> Result<()> {
    let text = fs::read_to_string(workspace.root().join(document))?;
    let values = [("CP", &*server.base), ("ADMIN_KEY", &*server.admin_key)];
    let script = folder.path().join("document.sh");
    fs::write(&script, script_of(&text, &values)?)?;
    let output_path = folder.path().join("document.out");
    let output = File::create(&output_path)?;
    let mut shell = quiet("bash", folder)
        .args(["-E", "-e", "-u", "-o", "pipefail"])
        .arg(&script)
        .env("PATH", path_with(program)?)
        // Programs keep what they keep in the folder.
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()?;
    let result = wait(&mut shell);
    let printed = String::from_utf8_lossy(&fs::read(&output_path)?).into_owned();
    result.with_context(|| printed.trim_end().to_owned())
}

/// Waits for a script, though not for ever.
fn wait(shell: &mut Child) -> Result<()> {
    let deadline = Instant::now() + SCRIPT_TIMEOUT;
    while Instant::now() < deadline {
        if let Some(status) = shell.try_wait()? {
            ensure!(status.success(), "{status}");
            return Ok(());
        }
        sleep(POLL_INTERVAL);
    }
    shell.kill()?;
    shell.wait()?;
    bail!("it took longer than {} s", SCRIPT_TIMEOUT.as_secs())
}

/// A command in the folder that takes nothing of ours from the environment.
fn quiet(program: impl Into<OsString>, folder: &TempDir) -> Command {
    let mut command = Command::new(program.into());
    command.current_dir(folder.path());
    command.env("NO_PROXY", "*").env("no_proxy", "*");
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("MOLECULE_CP_")
            || text.starts_with("MOLCTL_")
            || text == "XDG_CONFIG_HOME"
        {
            command.env_remove(name);
        }
    }
    command
}

/// The search path on which the program stands first.
fn path_with(program: &Path) -> Result<OsString> {
    let own = program.parent().map(Path::to_owned);
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(
        own.into_iter().chain(env::split_paths(&path)),
    )?)
}

/// A document as a script of as many lines: its blocks `sh` as they are, all else left empty.
///
/// A line that sets one of `values` for the reader, `export NAME=…`, sets it to the value here.
fn script_of(document: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut script = String::new();
    let mut block: Option<(&str, bool)> = None;
    let mut commands = 0;
    for (number, line) in (1..).zip(document.lines()) {
        let fence = line.trim_start();
        let mut text = if number == 1 { TRAP } else { "" };
        match block {
            None if fence.starts_with("```") => {
                let info = fence.trim_start_matches('`');
                let mark = fence.strip_suffix(info).unwrap_or(fence);
                block = Some((mark, info.trim() == "sh"));
            }
            None => {}
            Some((mark, _)) if fence == mark => block = None,
            Some((_, true)) => {
                commands += 1;
                text = line;
            }
            Some((_, false)) => {}
        }
        match values.iter().find(|(name, _)| sets(text, name)) {
            Some((name, value)) => writeln!(script, "export {name}='{value}'")?,
            None => writeln!(script, "{text}")?,
        }
    }
    ensure!(block.is_none(), "a block is not closed");
    ensure!(commands > 0, "it has no commands");
    Ok(script)
}

fn sets(line: &str, name: &str) -> bool {
    line.strip_prefix("export ")
        .and_then(|rest| rest.strip_prefix(name))
        .is_some_and(|rest| rest.starts_with('='))
}

/// A server that serves for the first time; it ends with this.
struct Server {
    process: Child,
    /// Held open, for a server whose reader has gone may not print.
    _output: BufReader<ChildStdout>,
    base: String,
    admin_key: String,
}

impl Server {
    fn start(program: &Path, folder: &TempDir) -> Result<Self> {
        let log = folder.path().join("server.log");
        let mut process = quiet(program, folder)
            // One of the documents has a receiver of webhooks on the same machine.
            .args(["--listen", "127.0.0.1:0"])
            .args(["--webhook-allow-private", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let output = process.stdout.take().context("a pipe was asked for")?;
        let mut server = Self {
            process,
            _output: BufReader::new(output),
            base: String::new(),
            admin_key: String::new(),
        };
        let mut line = String::new();
        while server.base.is_empty() || server.admin_key.is_empty() {
            line.clear();
            if server._output.read_line(&mut line)? == 0 {
                let log = fs::read_to_string(&log)?;
                bail!("the server printed no address or no admin key\n{log}");
            }
            server.read_start(&line);
        }
        Ok(server)
    }

    /// Takes the key and the address from a line of what a first start prints.
    fn read_start(&mut self, line: &str) {
        for word in line.split_whitespace() {
            if word.starts_with("mol_ak_") {
                self.admin_key = word.to_owned();
            } else if word.starts_with("http://")
                && let Some((base, _)) = word.split_once("/cp/")
            {
                self.base = base.to_owned();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself can't be killed, and that is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
# Title
```sh
export CP=http://127.0.0.1:8080
curl $CP
```
text
```console
$ not run
```
  ````sh
  ```
  export CPU=1
  ````
";

    #[test]
    fn a_script_has_the_lines_of_its_document() {
        let script = script_of(DOCUMENT, &[("CP", "http://h:1")]).unwrap();
        let lines: Vec<_> = script.lines().collect();
        assert_eq!(lines.len(), DOCUMENT.lines().count());
        assert_eq!(lines[0], TRAP);
        assert_eq!(lines[2], "export CP='http://h:1'");
        assert_eq!(lines[3], "curl $CP");
        assert!(lines[4..10].iter().all(|line| line.is_empty()));
        assert_eq!(lines[10..12], ["  ```", "  export CPU=1"]);
    }

    #[test]
    fn a_document_without_commands_or_with_an_open_block_is_refused() {
        assert!(script_of("# Title\n```text\nx\n```\n", &[]).is_err());
        assert!(script_of("# Title\n```sh\nx\n", &[]).is_err());
    }
}
