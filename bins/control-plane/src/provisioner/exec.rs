//! The provisioner `exec`: a program of the operator's, one run for each attempt.
//!
//! A guard (`commands/guard.rs`) spawns the program without a shell, and terminates it when the server is
//! gone.

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
use orgs::{MAX_ANSWER, ProvisionError, ProvisionOutput, ProvisionRequest, StopReason};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process_group};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStderr, ChildStdin, Command},
    time::{interval, sleep, timeout},
};

use super::{
    failed, handed_back,
    message::ProvisionedOrg,
    reason::{Tail, last_line},
    report::{Answer, HEARTBEAT, HEARTBEAT_INTERVAL, Report, TERMINATE},
    retry,
};
use crate::settings::ExecSettings;

/// The exit code that asks for a retry, from `sysexits.h`.
const EX_TEMPFAIL: i32 = 75;
/// Environment variables that every program gets.
const ALWAYS_PASSED: &[&str] = &[
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR",
];
/// For the rest of standard error once the program has ended. It is in the pipe already; more can only come
/// from a process that the program has left behind.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(50);
/// More than a guard ever writes, in bytes: the program's answer in base64, and lines of its own.
const MAX_OUTPUT: usize = MAX_ANSWER * 4 / 3 + 8192;

#[derive(Debug)]
pub struct Exec {
    program: PathBuf,
    own: PathBuf,
    timeout: Duration,
    at_once: usize,
    environment: Vec<(OsString, OsString)>,
    /// The program's descriptor limit: that of the server before it raised its own.
    descriptors: Option<u64>,
    login_url: String,
}

/// Why the server terminated the program.
enum Interruption {
    TimedOut,
    Stopped,
}

impl Exec {
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
            // The running program, also after an upgrade has replaced its file.
            own: if itself.exists() {
                itself.to_owned()
            } else {
                env::current_exe().context("the path of the running program is unknown")?
            },
            timeout: settings.timeout,
            at_once: settings.at_once,
            environment,
            descriptors: getrlimit(Resource::Nofile).current,
            login_url: login_url.to_owned(),
        })
    }

    pub const fn at_once(&self) -> usize {
        self.at_once
    }

    /// Runs the program once. Returns when its whole process group has ended.
    pub async fn run(
        &self,
        request: &ProvisionRequest,
        stop: impl Future<Output = StopReason> + Send,
    ) -> Result<ProvisionOutput, ProvisionError> {
        match self.watch(request, stop).await {
            Ok(run) => run.verdict(request),
            Err(error) => {
                let org = request.org.id;
                tracing::error!(org_id = %org, "starting the provisioner's guard failed: {error}");
                Err(retry(
                    "provisioner-unavailable",
                    "starting the provisioner failed; it will be retried",
                ))
            }
        }
    }

    async fn watch(
        &self,
        request: &ProvisionRequest,
        stop: impl Future<Output = StopReason> + Send,
    ) -> std::io::Result<Run> {
        let mut guard = self.guard(request).spawn()?;
        let (mut input, output, errors) =
            (guard.stdin.take(), guard.stdout.take(), guard.stderr.take());
        let (Some(mut output), Some(mut errors)) = (output, errors) else {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        };
        let line = serde_json::to_string(&ProvisionedOrg::new(request, &self.login_url))?;
        send(&mut input, format!("{line}\n").as_bytes()).await;
        let (mut stop, mut deadline) = (pin!(stop), pin!(sleep(self.timeout)));
        let mut heartbeats = interval(HEARTBEAT_INTERVAL);
        let mut run = Run::default();
        let (mut stopping, mut reads_errors) = (false, true);
        let mut buffer = vec![0; 16 * 1024];
        loop {
            tokio::select! {
                read = output.read_buf(&mut run.output) => {
                    // Its end is the end of the guard, which ends last.
                    if !matches!(read, Ok(1..)) || run.output.len() > MAX_OUTPUT {
                        break;
                    }
                }
                read = errors.read(&mut buffer), if reads_errors => match read {
                    Ok(count @ 1..) => run.tail.push(buffer.get(..count).unwrap_or_default()),
                    Ok(0) | Err(_) => reads_errors = false,
                },
                _ = heartbeats.tick() => send(&mut input, &[HEARTBEAT]).await,
                () = &mut deadline, if run.interruption.is_none() => {
                    run.interruption = Some(Interruption::TimedOut);
                    send(&mut input, &[TERMINATE]).await;
                }
                stop = &mut stop, if !stopping => {
                    stopping = true;
                    run.interruption.get_or_insert(Interruption::Stopped);
                    match stop {
                        StopReason::Deletion => send(&mut input, &[TERMINATE]).await,
                        // A closed pipe means `SHORT_GRACE`.
                        StopReason::Shutdown | StopReason::LeaseLost => input = None,
                    }
                }
            }
        }
        drop(input);
        guard.wait().await?;
        if reads_errors {
            drain(&mut errors, &mut run.tail).await;
        }
        Ok(run)
    }

    fn guard(&self, ProvisionRequest { verb, org, .. }: &ProvisionRequest) -> Command {
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
            .arg(verb.as_str())
            // The settings in the environment hold secrets.
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
            // A signal to the server's group, such as Ctrl-C, is handled by the server.
            .process_group(0);
        command
    }
}

#[derive(Default)]
struct Run {
    output: Vec<u8>,
    tail: Tail,
    interruption: Option<Interruption>,
}

impl Run {
    fn verdict(mut self, request: &ProvisionRequest) -> Result<ProvisionOutput, ProvisionError> {
        let org = &request.org;
        let output = String::from_utf8_lossy(&self.output).into_owned();
        let (mut report, mut answer) = (None, Vec::new());
        for line in output.lines() {
            match Report::parse(line) {
                Some(Report::Answer(Answer(bytes))) => answer = bytes,
                Some(other) => report = Some(other),
                None => {}
            }
        }
        let mut secrets = request.known_secrets.clone();
        secrets.add_answer(&answer);
        let text = secrets.apply(&self.tail.text());
        if !text.is_empty() {
            tracing::debug!(org_id = %org.id, stderr = text, "standard error of the provisioner");
        }
        let reason = last_line(&text);
        match (report, self.interruption) {
            (Some(Report::Exited(0)), _) => handed_back(request.verb, &answer),
            (Some(Report::Exited(EX_TEMPFAIL)), _) => Err(retry(
                "provisioner-busy",
                reason.unwrap_or_else(|| "the provisioner asks for a retry".to_owned()),
            )),
            (Some(Report::Exited(code)), _) => {
                let silent =
                    || format!("the provisioner ended with exit code {code} and gave no reason");
                Err(failed("provisioner-failed", reason.unwrap_or_else(silent)))
            }
            (Some(Report::Ended), Some(Interruption::TimedOut)) => Err(retry(
                "provisioner-timeout",
                "timeout: the provisioner took too long and was terminated",
            )),
            // Without an interruption of ours, the guard saw no heartbeat in time.
            (Some(Report::Ended), Some(Interruption::Stopped) | None) => {
                Err(ProvisionError::Interrupted)
            }
            (Some(Report::Signalled(signal)), _) => Err(retry(
                "provisioner-killed",
                format!("the provisioner was ended by signal {signal}"),
            )),
            (Some(Report::Refused(why)), _) => {
                tracing::error!(org_id = %org.id, "starting the provisioner failed: {why}");
                Err(retry(
                    "provisioner-unavailable",
                    format!("starting the provisioner failed: {why}"),
                ))
            }
            (report @ (Some(Report::Started(_) | Report::Answer(_)) | None), interruption) => {
                if let Some(Report::Started(group)) = report
                    && let Some(group) = Pid::from_raw(group)
                {
                    let _ = kill_process_group(group, Signal::KILL);
                }
                match interruption {
                    Some(Interruption::Stopped) => Err(ProvisionError::Interrupted),
                    Some(Interruption::TimedOut) | None => Err(retry(
                        "provisioner-killed",
                        "the provisioner's guard was killed",
                    )),
                }
            }
        }
    }
}

/// Writes to the guard. When it is gone, its output ends as well, which `watch` notices.
async fn send(input: &mut Option<ChildStdin>, bytes: &[u8]) {
    if let Some(pipe) = input
        && pipe.write_all(bytes).await.is_err()
    {
        *input = None;
    }
}

/// Reads what is left in the pipe, without waiting for other processes that have it open.
async fn drain(errors: &mut ChildStderr, tail: &mut Tail) {
    let mut buffer = vec![0; 16 * 1024];
    let rest = async {
        while let Ok(Ok(count @ 1..)) = timeout(DRAIN_TIMEOUT, errors.read(&mut buffer)).await {
            tail.push(buffer.get(..count).unwrap_or_default());
        }
    };
    // A process may write without end.
    let _ = timeout(DRAIN_TIMEOUT * 4, rest).await;
}

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
            "no program {} on the search path (PATH); give its path, as in ./{0}",
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
