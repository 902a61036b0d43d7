//! The provisioner `exec`: a program of the operator's, one run for each attempt.
//!
//! The program is not started by the server itself but by a guard (`commands/guard.rs`), which ends it
//! when the server is gone. No shell stands in between.

use std::{
    env,
    ffi::OsString,
    fs,
    future::Future,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    pin::pin,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use orgs::{Org, ProvisionError, StepName, StopReason};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process_group};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStderr, ChildStdin, Command},
    time::{interval, sleep, timeout},
};

use super::{
    again, failed,
    message::{org_json, verb},
    reason::{Tail, last_line},
    report::{ALIVE, BEAT, END, Report},
};
use crate::settings::ExecSettings;

/// What a program exits with that wants to be asked again: `EX_TEMPFAIL` of `sysexits.h`.
const EX_TEMPFAIL: i32 = 75;
/// Variables that every program gets, where the server has them.
const ALWAYS_PASSED: &[&str] = &[
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR",
];
/// How long the rest of what a program has written is waited for, once it has ended. It is there
/// already; more can only come from somebody whom the program has left behind.
const REST: Duration = Duration::from_millis(50);
/// More than a guard ever says, in bytes.
const MAX_SAID: usize = 4096;

/// A program that makes orgs and takes them away.
#[derive(Debug)]
pub struct Exec {
    program: PathBuf,
    own: PathBuf,
    timeout: Duration,
    at_once: usize,
    environment: Vec<(OsString, OsString)>,
    /// How many descriptors a program may have: as many as the server before it raised its own limit.
    descriptors: Option<u64>,
    login_url: String,
}

/// Why the server had the program ended.
enum Cut {
    TimedOut,
    Stopped,
}

impl Exec {
    /// The program of these settings, if it can be run.
    pub fn new(settings: &ExecSettings, login_url: &str) -> anyhow::Result<Self> {
        let names = ALWAYS_PASSED
            .iter()
            .copied()
            .chain(settings.pass.iter().map(String::as_str));
        let environment = names
            .filter_map(|name| Some((name.into(), env::var_os(name)?)))
            .collect();
        let itself = Path::new("/proc/self/exe");
        Ok(Self {
            program: find(&settings.program).context("provisioner_exec")?,
            // The running program itself, also when an upgrade has put another in its place.
            own: if itself.exists() {
                itself.to_owned()
            } else {
                env::current_exe().context("the server can't tell where its own program is")?
            },
            timeout: settings.timeout,
            at_once: settings.at_once,
            environment,
            descriptors: getrlimit(Resource::Nofile).current,
            login_url: login_url.to_owned(),
        })
    }

    /// How many runs there may be at once.
    pub const fn at_once(&self) -> usize {
        self.at_once
    }

    /// Runs the program once, and comes back when it has ended, and all that it has started in its
    /// process group.
    pub async fn run(
        &self,
        step: StepName,
        org: &Org,
        stop: impl Future<Output = StopReason> + Send,
    ) -> Result<(), ProvisionError> {
        match self.watch(step, org, stop).await {
            Ok(run) => run.verdict(org),
            Err(error) => {
                tracing::error!(org_id = %org.id, "the provisioner's guard can't be started: {error}");
                Err(again(
                    "provisioner-unavailable",
                    "the provisioner could not be started; it is tried again",
                ))
            }
        }
    }

    async fn watch(
        &self,
        step: StepName,
        org: &Org,
        stop: impl Future<Output = StopReason> + Send,
    ) -> std::io::Result<Run> {
        let mut guard = self.guard(step, org).spawn()?;
        let (mut input, output, errors) =
            (guard.stdin.take(), guard.stdout.take(), guard.stderr.take());
        let (Some(mut output), Some(mut errors)) = (output, errors) else {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        };
        let line = org_json(org, &self.login_url)?;
        say(&mut input, format!("{line}\n").as_bytes()).await;
        let (mut stop, mut late) = (pin!(stop), pin!(sleep(self.timeout)));
        let mut beats = interval(BEAT);
        let mut run = Run::default();
        let (mut told, mut hears) = (false, true);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            tokio::select! {
                read = output.read_buf(&mut run.said) => {
                    // It ends with the guard, which is the last one to go.
                    if !matches!(read, Ok(1..)) || run.said.len() > MAX_SAID {
                        break;
                    }
                }
                read = errors.read(&mut buffer), if hears => match read {
                    Ok(count @ 1..) => run.tail.push(buffer.get(..count).unwrap_or_default()),
                    Ok(0) | Err(_) => hears = false,
                },
                _ = beats.tick() => say(&mut input, &[ALIVE]).await,
                () = &mut late, if run.cut.is_none() => {
                    run.cut = Some(Cut::TimedOut);
                    say(&mut input, &[END]).await;
                }
                stop = &mut stop, if !told => {
                    told = true;
                    run.cut.get_or_insert(Cut::Stopped);
                    match stop {
                        StopReason::Deletion => say(&mut input, &[END]).await,
                        // The end of what it hears is the swift way.
                        StopReason::Shutdown | StopReason::LeaseLost => input = None,
                    }
                }
            }
        }
        drop(input);
        guard.wait().await?;
        if hears {
            hear_rest(&mut errors, &mut run.tail).await;
        }
        Ok(run)
    }

    fn guard(&self, step: StepName, org: &Org) -> Command {
        let mut command = Command::new(&self.own);
        command
            .arg0("molecule-cp")
            .arg("guard")
            .args(
                self.descriptors
                    .map(|limit| format!("--descriptors={limit}")),
            )
            .arg("--")
            .arg(&self.program)
            .arg(verb(step))
            // The settings are in the environment, and secrets among them: it starts anew.
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("MOLECULE_ORG_ID", org.id.to_string())
            .env("MOLECULE_ORG_SLUG", org.slug.as_str())
            .env("MOLECULE_ORG_PLAN", org.plan.as_str())
            .env("MOLECULE_PARTNER_ID", org.partner_id.to_string())
            .env(
                "MOLECULE_ATTEMPT",
                org.attempts.saturating_add(1).to_string(),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A signal to the server's group, such as Ctrl-C, is the server's to act on.
            .process_group(0);
        command
    }
}

/// One run, as far as the server saw it.
#[derive(Default)]
struct Run {
    said: Vec<u8>,
    tail: Tail,
    cut: Option<Cut>,
}

impl Run {
    fn verdict(mut self, org: &Org) -> Result<(), ProvisionError> {
        let text = self.tail.text();
        if !text.is_empty() {
            tracing::debug!(org_id = %org.id, stderr = text, "what the provisioner wrote");
        }
        let reason = last_line(&text);
        let said = String::from_utf8_lossy(&self.said).into_owned();
        let report = said.lines().rev().find_map(Report::parse);
        match (report, self.cut) {
            (Some(Report::Exited(0)), _) => Ok(()),
            (Some(Report::Exited(EX_TEMPFAIL)), _) => Err(again(
                "provisioner-busy",
                reason.unwrap_or_else(|| "the provisioner asks for another try".to_owned()),
            )),
            (Some(Report::Exited(code)), _) => {
                let silent =
                    || format!("the provisioner ended with exit code {code} and gave no reason");
                Err(failed("provisioner-failed", reason.unwrap_or_else(silent)))
            }
            (Some(Report::Ended), Some(Cut::TimedOut)) => Err(again(
                "provisioner-timeout",
                "the provisioner took too long and was ended",
            )),
            // Without a cut it was the guard that heard nothing of us for too long.
            (Some(Report::Ended), Some(Cut::Stopped) | None) => Err(ProvisionError::Interrupted),
            (Some(Report::Signalled(signal)), _) => Err(again(
                "provisioner-killed",
                format!("the provisioner was ended by signal {signal}"),
            )),
            (Some(Report::Refused(why)), _) => {
                tracing::error!(org_id = %org.id, "the provisioner's program can't be started: {why}");
                Err(again(
                    "provisioner-unavailable",
                    format!("the provisioner could not be started: {why}"),
                ))
            }
            (report @ (Some(Report::Started(_)) | None), cut) => {
                if let Some(Report::Started(group)) = report
                    && let Some(group) = Pid::from_raw(group)
                {
                    // Nobody watches it any more.
                    let _ = kill_process_group(group, Signal::KILL);
                }
                match cut {
                    Some(Cut::Stopped) => Err(ProvisionError::Interrupted),
                    Some(Cut::TimedOut) | None => Err(again(
                        "provisioner-killed",
                        "the provisioner's guard was killed",
                    )),
                }
            }
        }
    }
}

/// Says something to the guard. One that is gone is noticed by its silence.
async fn say(input: &mut Option<ChildStdin>, bytes: &[u8]) {
    if let Some(pipe) = input
        && pipe.write_all(bytes).await.is_err()
    {
        *input = None;
    }
}

/// Reads what the program has left in the pipe, without waiting for whoever else may hold it.
async fn hear_rest(errors: &mut ChildStderr, tail: &mut Tail) {
    let mut buffer = vec![0; 16 * 1024];
    let rest = async {
        while let Ok(Ok(count @ 1..)) = timeout(REST, errors.read(&mut buffer)).await {
            tail.push(buffer.get(..count).unwrap_or_default());
        }
    };
    // Somebody who writes without end is not heard to the end.
    let _ = timeout(REST * 4, rest).await;
}

/// The program at a path, or on the search path, if it can be run.
fn find(program: &Path) -> anyhow::Result<PathBuf> {
    if program.components().nth(1).is_some() || program.is_absolute() {
        let path = std::path::absolute(program)?;
        check(&path)?;
        return Ok(path);
    }
    let search = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&search)
        .map(|folder| folder.join(program))
        .find(|path| check(path).is_ok());
    match found {
        Some(path) => Ok(path),
        None => bail!(
            "there is no program {} on the search path; name it with its folder, as in ./{0}",
            program.display()
        ),
    }
}

fn check(path: &Path) -> anyhow::Result<()> {
    let what = || {
        format!(
            "{} can't be run; give the path of a program, without arguments",
            path.display()
        )
    };
    let metadata = fs::metadata(path).with_context(what)?;
    ensure!(metadata.is_file(), "{} is not a file", path.display());
    ensure!(
        metadata.permissions().mode() & 0o111 != 0,
        "{} is not executable; run: chmod +x {0}",
        path.display()
    );
    Ok(())
}
