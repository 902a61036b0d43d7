//! A disk that forgets, when the power fails, what it was not told to keep.
//!
//! The server runs under `strace`, which writes down each change of its files and each sync, in the
//! order of their beginnings and ends. What was synced is kept. What was written and not synced may be
//! there or not, each write or even each sector of one by itself, as a disk may have it that has a cache
//! of its own; so may what was under way. SQLite's file of shared memory is no one's to keep.
//!
//! That a name comes into a folder or goes from it is taken to be kept at once, as journaling file
//! systems do it in order.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::random::Random;

/// What of a file is written as a whole or not at all.
const SECTOR: usize = 512;
/// How many bytes of one write the trace shows; no write of the server's is longer.
const LONGEST: usize = 1 << 20;
/// How much of the trace the ends of all threads take at the most.
const TAIL: u64 = 1 << 16;
/// How long the trace may take to end after the server.
const PATIENCE: Duration = Duration::from_secs(10);
/// All that changes a file. What is known below is carried out, and the rest must not happen.
const CALLS: &str = "trace=pwrite64,fdatasync,fsync,ftruncate,unlink,unlinkat,openat,write,writev,\
                     pwritev,pwritev2,truncate,fallocate,rename,renameat,renameat2,copy_file_range,\
                     sendfile,sync_file_range";

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
    pub(crate) fn start(&self, folder: &Path, program: &Path) -> Result<Command> {
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
    pub(crate) fn cut(&self, folder: &Path, server: u32, random: &mut Random) -> Result<Cut> {
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
        while begun.elapsed() < PATIENCE {
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

/// How much of what was not synced is there after the power failed.
#[derive(Clone, Copy, Debug)]
enum Survival {
    Nothing,
    Everything,
    /// Each write or not.
    Writes,
    /// Each sector of each write or not.
    Sectors,
}

impl Survival {
    fn of(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 => Self::Writes,
            _ => Self::Sectors,
        }
    }

    fn keeps_all(self, random: &mut Random) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Writes | Self::Sectors => random.below(2) == 0,
        }
    }
}

/// A change of a file.
#[derive(Debug)]
enum Change {
    Write {
        offset: usize,
        bytes: Vec<u8>,
    },
    Length(usize),
    /// One that failed.
    None,
}

impl Change {
    fn make(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset, bytes),
            Self::Length(length) => content.resize(*length, 0),
            Self::None => {}
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset.saturating_add(bytes.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

/// A change that is not known to be kept.
#[derive(Debug)]
struct Pending {
    change: Change,
    /// When it had ended, if it has.
    ended: Option<u64>,
}

/// A file as the disk has it.
#[derive(Debug, Default)]
struct OnDisk {
    is_there: bool,
    kept: Vec<u8>,
    /// How long it is to the server, which may be more than is kept.
    length: usize,
    pending: VecDeque<(u64, Pending)>,
}

impl OnDisk {
    /// Keeps what had ended before.
    fn keep(&mut self, before: u64) {
        let mut rest = VecDeque::new();
        for (begun, pending) in self.pending.drain(..) {
            if pending.ended.is_some_and(|ended| ended < before) {
                pending.change.make(&mut self.kept);
            } else {
                rest.push_back((begun, pending));
            }
        }
        self.pending = rest;
    }

    /// What is there after the power failed.
    fn after(self, survives: Survival, random: &mut Random, cut: &mut Cut) -> Vec<u8> {
        let mut content = self.kept;
        for (_, Pending { change, .. }) in self.pending {
            let whole = match (&change, survives) {
                (Change::Write { offset, bytes }, Survival::Sectors) => {
                    let mut whole = true;
                    for (at, sector) in sectors(*offset, bytes) {
                        if survives.keeps_all(random) {
                            put(&mut content, at, sector);
                        } else {
                            whole = false;
                        }
                    }
                    whole
                }
                _ => {
                    let keeps = survives.keeps_all(random);
                    if keeps {
                        change.make(&mut content);
                    }
                    keeps
                }
            };
            *(if whole { &mut cut.kept } else { &mut cut.lost }) += 1;
        }
        content
    }
}

/// The sectors of a file that a write is about, and what it has of each.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut at, mut rest) = (offset, bytes);
    std::iter::from_fn(move || {
        let (sector, others) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        let begun = at;
        (at, rest) = (at + sector.len(), others);
        (!sector.is_empty()).then_some((begun, sector))
    })
}

/// The files of a folder, by name.
struct Files<'a> {
    folder: &'a Path,
    base: &'a Path,
    files: BTreeMap<String, OnDisk>,
    /// What each thread is at.
    under_way: HashMap<String, (String, Call)>,
    /// Counts beginnings and ends.
    clock: u64,
}

/// A call that is under way.
#[derive(Clone, Debug)]
enum Call {
    /// A change that began then.
    Change(u64),
    /// A sync that began then.
    Sync(u64),
    Unlink,
    Open,
    /// To this name.
    Rename(String),
}

impl<'a> Files<'a> {
    fn new(folder: &'a Path, base: &'a Path) -> Self {
        Self {
            folder,
            base,
            files: BTreeMap::new(),
            under_way: HashMap::new(),
            clock: 0,
        }
    }

    /// Takes note of a line of the trace.
    fn take(&mut self, line: &str) -> Result<()> {
        let (thread, rest) = line.split_once(' ').context("no thread")?;
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            return Ok(());
        }
        self.clock += 1;
        if rest.starts_with("<... ") {
            return self.end(thread, rest);
        }
        let (name, arguments) = rest.split_once('(').context("no call")?;
        self.begin(thread, name, arguments)?;
        if arguments.ends_with("<unfinished ...>") {
            return Ok(());
        }
        self.clock += 1;
        self.end(thread, arguments)
    }

    fn begin(&mut self, thread: &str, name: &str, arguments: &str) -> Result<()> {
        let arguments: Vec<&str> = arguments.splitn(5, ", ").collect();
        let argument = |n: usize| {
            let text = arguments.get(n).copied().unwrap_or_default();
            text.trim_end_matches(" <unfinished ...>")
        };
        let named = match name {
            "unlink" => argument(0),
            "unlinkat" | "openat" => argument(1),
            _ => argument(0),
        };
        let Some(file) = self.name_of(named)? else {
            return Ok(());
        };
        let now = self.clock;
        let call = match name {
            "pwrite64" => {
                let bytes = bytes(argument(1))?;
                ensure!(number(argument(2))? == bytes.len(), "a write is cut short");
                let offset = number(argument(3))?;
                self.change(&file, Change::Write { offset, bytes })?
            }
            "ftruncate" => {
                let length = number(argument(1))?;
                self.change(&file, Change::Length(length))?
            }
            // A file that is written like this is new, and its end is where it is written.
            "write" => {
                let bytes = bytes(argument(1))?;
                ensure!(number(argument(2))? == bytes.len(), "a write is cut short");
                let offset = self.file(&file)?.length;
                self.change(&file, Change::Write { offset, bytes })?
            }
            "fdatasync" | "fsync" => Call::Sync(now),
            "unlink" | "unlinkat" => Call::Unlink,
            "openat" if argument(2).contains("O_TRUNC") => {
                self.file(&file)?.is_there = true;
                self.change(&file, Change::Length(0))?
            }
            "openat" => Call::Open,
            "rename" => {
                let to = self.name_of(argument(1))?;
                Call::Rename(to.context("it leaves the folder")?)
            }
            _ => bail!("what this call does to a file is not known here"),
        };
        self.under_way.insert(thread.to_owned(), (file, call));
        Ok(())
    }

    fn change(&mut self, file: &str, change: Change) -> Result<Call> {
        let now = self.clock;
        let file = self.file(file)?;
        file.length = match &change {
            Change::Write { offset, bytes } => file.length.max(offset + bytes.len()),
            Change::Length(length) => *length,
            Change::None => file.length,
        };
        let pending = Pending {
            change,
            ended: None,
        };
        file.pending.push_back((now, pending));
        Ok(Call::Change(now))
    }

    fn end(&mut self, thread: &str, told: &str) -> Result<()> {
        let Some((name, call)) = self.under_way.remove(thread) else {
            return Ok(());
        };
        let (_, result) = told.rsplit_once(" = ").context("no result")?;
        // It was killed in the middle.
        if result.starts_with('?') {
            return Ok(());
        }
        let result: Option<usize> = result
            .split(['<', ' '])
            .next()
            .and_then(|number| number.parse().ok());
        let now = self.clock;
        let file = self.file(&name)?;
        match (call, result) {
            (Call::Change(begun), result) => {
                let mut pending = file.pending.iter_mut();
                let own = pending.find(|(other, _)| *other == begun);
                let (_, own) = own.context("a change that did not begin")?;
                own.ended = Some(now);
                match (&mut own.change, result) {
                    (Change::Write { bytes, .. }, Some(written)) => bytes.truncate(written),
                    (_, Some(_)) => {}
                    (change, None) => *change = Change::None,
                }
            }
            (Call::Sync(begun), Some(0)) => file.keep(begun),
            (Call::Unlink, Some(0)) => *file = OnDisk::default(),
            (Call::Open, Some(_)) => file.is_there = true,
            (Call::Rename(to), Some(0)) => {
                let file = std::mem::take(file);
                self.files.insert(to, file);
            }
            (Call::Sync(_) | Call::Unlink | Call::Open | Call::Rename(_), _) => {}
        }
        Ok(())
    }

    /// The file of this name, as it was at first when it is asked for the first time.
    fn file(&mut self, name: &str) -> Result<&mut OnDisk> {
        if !self.files.contains_key(name) {
            let path = self.base.join(name);
            let is_there = path.is_file();
            let kept = if is_there {
                fs::read(path)?
            } else {
                Vec::new()
            };
            let file = OnDisk {
                is_there,
                length: kept.len(),
                kept,
                pending: VecDeque::new(),
            };
            self.files.insert(name.to_owned(), file);
        }
        self.files.get_mut(name).context("it was just added")
    }

    /// The name of a file of the folder, by its path, or by a descriptor with its path.
    fn name_of(&self, told: &str) -> Result<Option<String>> {
        let path = match told.split_once('<') {
            Some((_, path)) => path.split('>').next(),
            None => told.split('"').nth(1),
        };
        // A file that has no name any more can't be found after the power is back.
        let path = path.filter(|path| path.starts_with("\\x") && !path.ends_with("(deleted)"));
        let Some(path) = path else {
            return Ok(None);
        };
        let path = String::from_utf8(bytes(path)?)?;
        let name = Path::new(&path).strip_prefix(self.folder).ok();
        let name = name.map(|name| name.to_string_lossy().into_owned());
        Ok(name.filter(|name| !name.is_empty() && !name.ends_with("-shm")))
    }
}

fn number(text: &str) -> Result<usize> {
    let digits = text.split([')', ' ']).next().unwrap_or_default();
    digits.parse().with_context(|| format!("no number: {text}"))
}

/// The bytes of a text such as `"\x41\x42"`.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let text = text.trim_matches('"');
    let mut bytes = Vec::with_capacity(text.len() / 4);
    for four in text.as_bytes().chunks(4) {
        let [b'\\', b'x', high, low] = *four else {
            bail!("no bytes in hexadecimal");
        };
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|n| u8::try_from(n).ok())
        };
        let value = digit(high)
            .zip(digit(low))
            .map(|(high, low)| high << 4 | low);
        bytes.push(value.context("no hexadecimal digits")?);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    /// What is kept of a file that was "old", and how many changes may be lost, after lines in which
    /// `{text}` stands for text as the trace has it.
    #[track_caller]
    fn check(lines: &[&str], kept: &str, pending: usize) {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("file"), "old").unwrap();
        let mut files = Files::new(Path::new("/data"), base.path());
        for line in lines {
            let mut told = String::new();
            for (n, part) in line.split(['{', '}']).enumerate() {
                told.push_str(&if n % 2 == 1 {
                    hex(part)
                } else {
                    part.to_owned()
                });
            }
            files.take(&told).unwrap();
        }
        let file = files.file("file").unwrap();
        assert_eq!(String::from_utf8_lossy(&file.kept), kept);
        assert_eq!(file.pending.len(), pending);
    }

    const WRITE: &str = r#"7 pwrite64(3<{/data/file}>, "{new}", 3, 1) = 3"#;
    const SYNC: &str = "7 fdatasync(3<{/data/file}>)          = 0";

    #[test]
    fn what_was_synced_is_kept_and_nothing_else() {
        check(&[WRITE], "old", 1);
        check(&[WRITE, SYNC], "onew", 0);
        check(&[SYNC, WRITE], "old", 1);
        check(&[WRITE, "7 fdatasync(4<{/data/other}>) = 0"], "old", 1);
        check(
            &[
                WRITE,
                "7 fdatasync(3<{/data/file}>) = -1 EIO (Input/output error)",
            ],
            "old",
            1,
        );
        check(&["7 ftruncate(3<{/data/file}>, 1) = 0", SYNC], "o", 0);
        check(
            &[
                r#"7 pwrite64(3<{/data/file}>, "{new}", 3, 1) = -1 ENOSPC (No space)"#,
                SYNC,
            ],
            "old",
            0,
        );
    }

    #[test]
    fn a_sync_keeps_what_had_ended_when_it_began() {
        let begin = r#"8 pwrite64(3<{/data/file}>, "{new}", 3, 1 <unfinished ...>"#;
        let end = "8 <... pwrite64 resumed>)          = 3";
        let killed = "8 <... pwrite64 resumed>)          = ?";
        let sync = "7 fdatasync(3<{/data/file}> <unfinished ...>";
        let synced = "7 <... fdatasync resumed>)         = 0";
        check(&[begin, end, sync, synced], "onew", 0);
        check(&[begin, sync, end, synced], "old", 1);
        check(&[sync, begin, end, synced], "old", 1);
        check(&[begin, end, sync], "old", 1);
        check(&[begin, killed, SYNC], "old", 1);
    }

    #[test]
    fn the_end_of_a_thread_is_told_from_others() {
        let is_end = |line: &str| is_end_of(714, line.as_bytes());
        assert!(is_end("714 +++ killed by SIGKILL +++"));
        assert!(is_end("714   +++ killed by SIGKILL +++"));
        assert!(!is_end("7140 +++ killed by SIGKILL +++"));
        assert!(!is_end("71 +++ killed by SIGKILL +++"));
        assert!(!is_end("714 fsync(3) = 0"));
        check(&["7   fdatasync(4<{/data/other}>) = 0", WRITE], "old", 1);
    }

    #[test]
    fn files_come_and_go_and_change_their_names() {
        check(&["7 unlink(\"{/data/file}\") = 0"], "", 0);
        check(
            &[
                r#"7 openat(AT_FDCWD<{/}>, "{/data/a}", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 3<{/data/a}>"#,
                r#"7 write(3<{/data/a}>, "{on}", 2) = 2"#,
                r#"7 write(3<{/data/a}>, "{e}", 1) = 1"#,
                "7 fsync(3<{/data/a}>) = 0",
                r#"7 rename("{/data/a}", "{/data/file}") = 0"#,
            ],
            "one",
            0,
        );
        let shared = r#"7 pwrite64(3<{/data/file-shm}>, "{new}", 3, 1) = 3"#;
        check(&[shared, "7 +++ killed by SIGKILL +++"], "old", 0);
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        let files = |line: &str| Files::new(Path::new("/data"), Path::new("/base")).take(line);
        let path = hex("/data/file");
        assert!(files(&format!("7 fallocate(3<{path}>, 0, 0, 9) = 0")).is_err());
        assert!(files(&format!(r#"7 pwrite64(3<{path}>, "\x41"..., 9, 0) = 9"#)).is_err());
        assert!(files("7 fallocate(3<{/elsewhere}>, 0, 0, 9) = 0").is_ok());
    }

    #[test]
    fn a_write_is_cut_where_sectors_end() {
        let bytes = [7; 1000];
        let cut: Vec<_> = sectors(500, &bytes)
            .map(|(at, sector)| (at, sector.len()))
            .collect();
        assert_eq!(cut, [(500, 12), (512, 512), (1024, 476)]);
        assert_eq!(sectors(512, &bytes[..512]).count(), 1);
        assert_eq!(sectors(0, &[]).count(), 0);
    }
}
