//! Environments of Python with the packages that a test needs, beside what cargo builds.

use std::{
    env, fs, io,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::missing;

/// The Python of an environment of this name, made at the first call; `None` without Python, which is said loudly.
///
/// # Panics
/// Where Python is there and the packages do not come.
pub fn environment(name: &str, packages: &[&str]) -> Option<PathBuf> {
    let environment = try_environment(name, packages).unwrap();
    if environment.is_none() {
        missing::report("Python");
    }
    environment
}

/// The same, without a word; an error where Python is there and the packages do not come.
///
/// # Errors
/// When the environment can't be made.
pub fn try_environment(name: &str, packages: &[&str]) -> io::Result<Option<PathBuf>> {
    let folder = beside_target(name)?;
    let (python, done) = (folder.join("bin/python"), folder.join("installed"));
    let wanted = packages.join("\n");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(Some(python));
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    if !succeeds(&mut make) {
        return Ok(None);
    }
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet"])
        .args(packages);
    // With Python there, a package that does not come is a fault, not a machine without it.
    if !succeeds(&mut install) {
        return Err(io::Error::other(format!("{wanted} could not be installed")));
    }
    fs::write(done, wanted)?;
    Ok(Some(python))
}

/// A folder of this name beside what cargo builds.
pub(crate) fn beside_target(name: &str) -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let programs = own
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"));
    let target = programs.and_then(|folder| folder.parent());
    Ok(target.ok_or(io::ErrorKind::NotFound)?.join(name))
}

pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
