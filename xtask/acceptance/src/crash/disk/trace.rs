//! What a trace tells of the files of a folder.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};

use super::file::{Change, OnDisk};

/// The files of a folder, by name.
pub(super) struct Files<'a> {
    folder: &'a Path,
    base: &'a Path,
    pub(super) files: BTreeMap<String, OnDisk>,
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
    /// To a second name.
    Link(String),
}

impl<'a> Files<'a> {
    pub(super) fn new(folder: &'a Path, base: &'a Path) -> Self {
        Self {
            folder,
            base,
            files: BTreeMap::new(),
            under_way: HashMap::new(),
            clock: 0,
        }
    }

    /// Takes note of a line of the trace.
    pub(super) fn take(&mut self, line: &str) -> Result<()> {
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
        let named = usize::from(["unlinkat", "openat", "linkat"].contains(&name));
        let Some(file) = self.name_of(argument(named))? else {
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
            "link" => {
                let to = self.name_of(argument(1))?;
                Call::Link(to.context("it leaves the folder")?)
            }
            "linkat" => {
                let to = self.name_of(argument(3))?;
                Call::Link(to.context("it leaves the folder")?)
            }
            _ => bail!("what this call does to a file is not known here"),
        };
        self.under_way.insert(thread.to_owned(), (file, call));
        Ok(())
    }

    fn change(&mut self, file: &str, change: Change) -> Result<Call> {
        let now = self.clock;
        self.file(file)?.begin(now, change);
        Ok(Call::Change(now))
    }

    fn end(&mut self, thread: &str, text: &str) -> Result<()> {
        let Some((name, call)) = self.under_way.remove(thread) else {
            return Ok(());
        };
        let (_, result) = text.rsplit_once(" = ").context("no result")?;
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
            (Call::Change(begun), result) => file.end(begun, now, result),
            (Call::Sync(begun), Some(0)) => file.keep(begun),
            (Call::Unlink, Some(0)) => *file = OnDisk::default(),
            (Call::Open, Some(_)) => file.is_there = true,
            (Call::Rename(to), Some(0)) => {
                let file = std::mem::take(file);
                self.files.insert(to, file);
            }
            (Call::Link(to), Some(0)) => {
                // Whoever links a file here has written it wholly, and takes the first name away.
                let file = file.clone();
                self.files.insert(to, file);
            }
            (Call::Sync(_) | Call::Unlink | Call::Open | Call::Rename(_) | Call::Link(_), _) => {}
        }
        Ok(())
    }

    /// The file of this name, as it was at first when it is asked for the first time.
    fn file(&mut self, name: &str) -> Result<&mut OnDisk> {
        if !self.files.contains_key(name) {
            let path = self.base.join(name);
            let content = path.is_file().then(|| fs::read(path)).transpose()?;
            let file = OnDisk::new(content);
            self.files.insert(name.to_owned(), file);
        }
        self.files.get_mut(name).context("it was just added")
    }

    /// The name of a file of the folder, by its path, or by a descriptor with its path.
    fn name_of(&self, text: &str) -> Result<Option<String>> {
        let path = match text.split_once('<') {
            Some((_, path)) => path.split('>').next(),
            None => text.split('"').nth(1),
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
            let mut text = String::new();
            for (n, part) in line.split(['{', '}']).enumerate() {
                text.push_str(&if n % 2 == 1 {
                    hex(part)
                } else {
                    part.to_owned()
                });
            }
            files.take(&text).unwrap();
        }
        let file = files.file("file").unwrap();
        assert_eq!(String::from_utf8_lossy(file.kept()), kept);
        assert_eq!(file.pending(), pending);
    }

    const WRITE: &str = r#"7 pwrite64(3<{/data/file}>, "{new}", 3, 1) = 3"#;
    const SYNC: &str = "7 fdatasync(3<{/data/file}>)          = 0";

    #[test]
    fn what_was_synced_is_kept_and_nothing_else() {
        check(&[WRITE], "old", 1);
        check(&[WRITE, SYNC], "onew", 0);
        check(&[SYNC, WRITE], "old", 1);
        check(&["7   fdatasync(4<{/data/other}>) = 0", WRITE], "old", 1);
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
        check(
            &[
                r#"7 openat(AT_FDCWD<{/}>, "{/data/a}", O_WRONLY|O_CREAT|O_EXCL, 0600) = 3<{/data/a}>"#,
                r#"7 write(3<{/data/a}>, "{one}", 3) = 3"#,
                "7 fsync(3<{/data/a}>) = 0",
                r#"7 linkat(AT_FDCWD<{/}>, "{/data/a}", AT_FDCWD<{/}>, "{/data/b}", 0) = 0"#,
                r#"7 unlink("{/data/a}") = 0"#,
                r#"7 rename("{/data/b}", "{/data/file}") = 0"#,
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
}
