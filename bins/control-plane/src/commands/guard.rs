//! `molecule-cp guard`: runs one program for a server, and ends it when the server is gone.
//!
//! The programs of a killed server would go on while another server provisions their orgs. So each program
//! has a guard process, which waits for the program and reads commands of the server. On a command, a
//! heartbeat timeout or the end of the server it terminates the program's process group. It reads what the
//! program writes to standard output, however much that is, and tells the server the beginning of it. The
//! protocol is in `provisioner/report.rs`.

use std::{
    ffi::OsStr,
    io::{BufRead as _, ErrorKind, Read as _, Write as _, stdin, stdout},
    os::{fd::AsFd, unix::process::CommandExt as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use orgs::MAX_ANSWER;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitIdStatus, getrlimit,
        kill_process_group, setrlimit, test_kill_process_group, waitid,
    },
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::provisioner::report::{
    Answer, GRACE, HEARTBEAT, HEARTBEAT_TIMEOUT, Report, SHORT_GRACE, TERMINATE,
};

/// In bytes.
const MAX_ORG: u64 = 1024 * 1024;
/// How often and how long apart the process group is polled after SIGKILL.
const MAX_POLLS: u32 = 25;
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// For the end of standard output once the program's group has ended. A process that has left the group may
/// have it open.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the program to its end.
pub fn run(descriptors: Option<u64>, program: &OsStr, verb: &str) -> anyhow::Result<()> {
    ignore_signals()?;
    if descriptors.is_some() {
        // The server has raised its own limit, which programs are not used to.
        let limit = Rlimit {
            current: descriptors,
            ..getrlimit(Resource::Nofile)
        };
        setrlimit(Resource::Nofile, limit)?;
    }
    let mut org = Vec::new();
    stdin().lock().take(MAX_ORG).read_until(b'\n', &mut org)?;
    ensure!(
        org.last() == Some(&b'\n'),
        "guard is run by the server, for the programs that it starts"
    );
    // It may have got the processor late, when the org is another server's already.
    ensure!(
        !is_hung_up(stdin())?,
        "the server is gone, so the program is not started"
    );
    let spawned = Command::new(program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return send(&Report::Refused(error.to_string())),
    };
    if let Some(input) = child.stdin.take() {
        write_org(input, org);
    }
    let answer = child.stdout.take().map(ProgramOutput::read);
    let group = Arc::new(Group::led_by(&child));
    // When this fails the server is gone, which `watch` notices.
    let _ = send(&Report::Started(group.leader.as_raw_pid()));
    let commands = read_commands();
    let watched = Arc::clone(&group);
    thread::spawn(move || watched.watch(&commands));
    let status = group.wait_for_leader()?;
    group.close(&mut child)?;
    let report = if group.was_ended.load(Ordering::SeqCst) {
        Report::Ended
    } else {
        let code = status.exit_status().map(Report::Exited);
        let signal = status.terminating_signal().map(Report::Signalled);
        code.or(signal)
            .context("the program has neither ended nor been ended")?
    };
    if let Some(bytes) = answer.map(ProgramOutput::beginning)
        && !bytes.is_empty()
    {
        send(&Report::Answer(Answer(bytes)))?;
    }
    send(&report)
}

/// The guard ends when its program has ended, not by signals that are meant for the server or its group.
fn ignore_signals() -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ] {
        // Signals stay caught once they were. A program that is spawned has the default again.
        drop(signal(kind)?);
    }
    Ok(())
}

/// Whether nobody can write to this pipe any more. There may be something in it still.
fn is_hung_up(pipe: impl AsFd) -> rustix::io::Result<bool> {
    // That a pipe is hung up is told unasked.
    let mut files = [PollFd::new(&pipe, PollFlags::empty())];
    poll(&mut files, Some(&Timespec::default()))?;
    let [file] = &files;
    Ok(file
        .revents()
        .intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
}

/// In a thread, for the program may never read it.
fn write_org(mut input: ChildStdin, org: Vec<u8>) {
    thread::spawn(move || {
        let _ = input.write_all(&org);
    });
}

/// The commands of the server, until it ends.
fn read_commands() -> Receiver<u8> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for byte in stdin().lock().bytes() {
            let Ok(byte) = byte else { break };
            if send.send(byte).is_err() {
                break;
            }
        }
    });
    receive
}

fn send(report: &Report) -> anyhow::Result<()> {
    let mut output = stdout().lock();
    writeln!(output, "{report}")?;
    Ok(output.flush()?)
}

/// What a program writes to standard output. A thread reads it all, so that the program never waits, and keeps
/// one byte more than is allowed.
struct ProgramOutput {
    beginning: Arc<Mutex<Vec<u8>>>,
    end: Receiver<()>,
}

impl ProgramOutput {
    fn read(mut pipe: ChildStdout) -> Self {
        let beginning = Arc::new(Mutex::new(Vec::new()));
        let (kept, (ended, end)) = (Arc::clone(&beginning), mpsc::channel());
        thread::spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let count = match pipe.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(_) => break,
                };
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                let left = (MAX_ANSWER + 1).saturating_sub(kept.len());
                kept.extend_from_slice(buffer.get(..count.min(left)).unwrap_or_default());
            }
            // Nobody may wait any more.
            let _ = ended.send(());
        });
        Self { beginning, end }
    }

    /// The beginning of all that was written, once the program has ended.
    fn beginning(self) -> Vec<u8> {
        let _ = self.end.recv_timeout(ANSWER_TIMEOUT);
        let kept = self.beginning.lock();
        std::mem::take(&mut kept.unwrap_or_else(PoisonError::into_inner))
    }
}

/// The process group of a program.
struct Group {
    leader: Pid,
    was_ended: AtomicBool,
    /// Once true, the id of the group may be in use for another.
    is_closed: Mutex<bool>,
}

impl Group {
    fn led_by(child: &Child) -> Self {
        Self {
            leader: Pid::from_child(child),
            was_ended: AtomicBool::new(false),
            is_closed: Mutex::new(false),
        }
    }

    fn signal(&self, signal: Signal) {
        let is_closed = self.is_closed.lock();
        if !*is_closed.unwrap_or_else(PoisonError::into_inner) {
            // An error means that the group has ended.
            let _ = kill_process_group(self.leader, signal);
        }
    }

    /// Reads commands until the program must end, then terminates it.
    fn watch(&self, commands: &Receiver<u8>) {
        let mut grace = loop {
            match commands.recv_timeout(HEARTBEAT_TIMEOUT) {
                Ok(HEARTBEAT) => {}
                Ok(TERMINATE) => break GRACE,
                Ok(_) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    break SHORT_GRACE;
                }
            }
        };
        self.was_ended.store(true, Ordering::SeqCst);
        let began = Instant::now();
        self.signal(Signal::TERM);
        // A stopped program could not handle SIGTERM.
        self.signal(Signal::CONT);
        while let Some(left) = grace.checked_sub(began.elapsed()) {
            match commands.recv_timeout(left.min(HEARTBEAT_TIMEOUT)) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    grace = grace.min(began.elapsed() + SHORT_GRACE);
                    thread::sleep(grace.saturating_sub(began.elapsed()));
                }
            }
        }
        self.signal(Signal::KILL);
    }

    /// Waits until the leader has ended. Its id stays in use.
    fn wait_for_leader(&self) -> anyhow::Result<WaitIdStatus> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.leader), options) {
                Ok(Some(status)) => return Ok(status),
                Ok(None) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("the program can't be waited for"),
            }
        }
    }

    /// Kills what the leader has left behind, and releases its id.
    fn close(&self, leader: &mut Child) -> anyhow::Result<()> {
        {
            let is_closed = self.is_closed.lock();
            let mut is_closed = is_closed.unwrap_or_else(PoisonError::into_inner);
            let _ = kill_process_group(self.leader, Signal::KILL);
            leader.wait()?;
            *is_closed = true;
        }
        for _ in 0..MAX_POLLS {
            if test_kill_process_group(self.leader).is_err() {
                break;
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }
}
