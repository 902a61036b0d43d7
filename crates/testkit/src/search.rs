//! Searching what a server has written for what must not be there.

use std::{
    fs,
    path::{Path, PathBuf},
};

use memchr::memmem;

/// The files that hold a text, in a folder and those in it.
///
/// What is removed meanwhile holds nothing.
#[must_use]
pub fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let finder = memmem::Finder::new(text);
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(&path).is_ok_and(|bytes| finder.find(&bytes).is_some()) {
                found.push(path);
            }
        }
    }
    found
}
