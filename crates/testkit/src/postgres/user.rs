//! Whose process the server is: `initdb` refuses to run as root.

use std::{fs, os::unix::fs::MetadataExt};

/// A user that is not root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Who shall run the server instead of the present user, when that is root.
///
/// # Panics
/// When root has nobody to hand it to.
pub(super) fn for_server() -> Option<User> {
    if is_root() {
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let user = ["postgres", "nobody"]
            .iter()
            .find_map(|name| look_up(&passwd, name));
        assert!(user.is_some(), "no user postgres or nobody to run as");
        user
    } else {
        None
    }
}

/// A file made now belongs to whoever runs this.
fn is_root() -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().metadata().unwrap().uid() == 0
}

fn look_up(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (found && uid != 0).then_some(User { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\nnobody2:x:7:8::/:\nnobody:x:65534:65533::/:\n";
        let nobody = User {
            uid: 65534,
            gid: 65533,
        };
        assert_eq!(look_up(passwd, "nobody"), Some(nobody));
        assert_eq!(look_up(passwd, "postgres"), None);
        assert_eq!(look_up(passwd, "root"), None);
    }
}
