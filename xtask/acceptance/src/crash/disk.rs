//! A disk that forgets, when the power fails, what it was not told to keep.
//!
//! The server runs under `strace`, which writes down each change of its files and each sync, in the
//! order of their beginnings and ends. What was synced is kept. What was written and not synced may be
//! there or not, each write or even each sector of one by itself, as a disk may have it that has a cache
//! of its own; so may what was under way. SQLite's file of shared memory is no one's to keep.
//!
//! That a name comes into a folder or goes from it is taken to be kept at once, as journaling file
//! systems do it in order.

mod file;
mod trace;

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use testkit::random::SeededRandom;

use self::{file::Survival, trace::Files};

/// How many bytes of one write the trace shows; no write of the server's is longer.
const LONGEST: usize = 1 << 20;
/// How much of the trace the ends of all threads take at the most.
const TAIL: u64 = 1 << 16;
/// How long the trace may take to end after the server.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// All that changes a file. What is known below is carried out, and the rest must not happen.
const CALLS: &str = "trace=pwrite64,fdatasync,fsync,ftruncate,unlink,unlinkat,openat,write,writev,\
                     pwritev,pwritev2,truncate,fallocate,rename,renameat,renameat2,link,linkat,\
                     copy_file_range,sendfile,sync_file_range";

/// The disk under one folder.
pub(crate) struct Disk {
    trace: PathBuf,
    base: PathBuf,
}

/// What became of the writes that were not synced.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cut {
    pub(crate) kept: usize,
    /// Wholly or in part.
    pub(crate) lost: usize,
}

impl Disk {
    /// One that keeps its notes in a folder beside its own; `None` when there is no `strace`.
    pub(crate) fn new(notes: &Path) -> Option<Self> {
        let mut version = Command::new("strace");
        version
            .arg("-V")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        version.status().ok().filter(|status| status.success())?;
        Some(Self {
            trace: notes.join("trace"),
            base: notes.join("base"),
        })
    }

    /// Notes how a folder is, and gives the command that runs a program with its eyes on that.
    pub(crate) fn watch(&self, folder: &Path, program: &Path) -> Result<Command> {
        if self.base.exists() {
            fs::remove_dir_all(&self.base)?;
        }
        fs::create_dir_all(&self.base)?;
        if folder.exists() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let name = path.file_name().context("a file has a name")?;
                if path.is_file() {
                    fs::copy(&path, self.base.join(name))?;
                }
            }
        }
        let mut command = Command::new("strace");
        command
            // The program is our child, and is killed as such.
            .args(["-D", "-f", "-y", "-xx", "--seccomp-bpf"])
            .args(["-s", &LONGEST.to_string(), "-e", CALLS, "-o"])
            .arg(&self.trace)
            .arg(program);
        Ok(command)
    }

    /// Has the folder as a disk may have it whose power failed when the server ended.
    pub(crate) fn cut(&self, folder: &Path, server: u32, random: &mut SeededRandom) -> Result<Cut> {
        self.wait_for_the_end_of(server)?;
        let mut files = Files::new(folder, &self.base);
        let mut trace = BufReader::new(File::open(&self.trace)?);
        let mut line = Vec::new();
        while trace.read_until(b'\n', &mut line)? > 0 {
            let text = str::from_utf8(&line)?.trim_end();
            files
                .take(text)
                .with_context(|| text.chars().take(200).collect::<String>())?;
            line.clear();
        }
        let mut cut = Cut::default();
        let survives = Survival::of(random);
        for (name, file) in files.files {
            let path = folder.join(&name);
            if file.is_there {
                let mut kept = OpenOptions::new();
                let mut kept = kept.create(true).write(true).truncate(true).open(&path)?;
                kept.write_all(&file.after(survives, random, &mut cut))?;
            } else if path.exists() {
                fs::remove_file(&path)?;
            }
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with("-shm") {
                fs::remove_file(path)?;
            }
        }
        Ok(cut)
    }

    /// The first thread is the last to go, but `strace` may tell of those that went with it in another
    /// order.
    fn wait_for_the_end_of(&self, server: u32) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < END_TIMEOUT {
            let mut trace = File::open(&self.trace)?;
            let end = trace.metadata()?.len();
            trace.seek(SeekFrom::Start(end.saturating_sub(TAIL)))?;
            let mut tail = Vec::new();
            trace.read_to_end(&mut tail)?;
            let mut lines = tail.split(|byte| *byte == b'\n');
            if lines.any(|line| is_end_of(server, line)) {
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        bail!("the trace of the server does not end")
    }
}

/// Whether a line tells that a thread was killed. Short numbers of threads are filled up with spaces.
fn is_end_of(thread: u32, line: &[u8]) -> bool {
    let line = line.strip_prefix(thread.to_string().as_bytes());
    line.is_some_and(|rest| {
        rest.starts_with(b" ") && rest.trim_ascii() == b"+++ killed by SIGKILL +++"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_thread_is_told_from_others() {
        let is_end = |line: &str| is_end_of(714, line.as_bytes());
        assert!(is_end("714 +++ killed by SIGKILL +++"));
        assert!(is_end("714   +++ killed by SIGKILL +++"));
        assert!(!is_end("7140 +++ killed by SIGKILL +++"));
        assert!(!is_end("71 +++ killed by SIGKILL +++"));
        assert!(!is_end("714 fsync(3) = 0"));
    }
}
