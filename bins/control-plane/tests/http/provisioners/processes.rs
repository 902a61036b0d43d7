//! The processes around a server that has programs of the operator's run.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    process::Command,
};

use super::create;
use crate::kit::{ALL_SCOPES, Script, Server, Store, eventually, lives, started_by};

/// The user `nobody`.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The command that serves with a script, yet to be started.
fn command(store: &Store, script: &Script) -> Command {
    let path = script.path();
    let settings = [
        ("MOLECULE_CP_PROVISIONER", "exec"),
        ("MOLECULE_CP_PROVISIONER_EXEC", path.to_str().unwrap()),
    ];
    store.program(&["serve"], &settings)
}

/// The numbers of a process's children, and the letter of the state that each is in.
fn children(parent: u32) -> Vec<(u32, char)> {
    let processes = fs::read_dir("/proc").unwrap();
    let numbers = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    numbers
        .filter_map(|number: u32| {
            let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            let mut fields = rest.split(' ');
            let state = fields.next()?.chars().next()?;
            let is_child = fields.next()?.parse::<u32>().ok()? == parent;
            is_child.then_some((number, state))
        })
        .collect()
}

/// In a container the server may be the first process, to which all go that have lost their parent.
#[test]
fn the_first_process_of_a_container_leaves_no_zombies_and_ends_in_good_order() {
    if !is_root() {
        eprintln!("NOT TESTED: only root can begin a namespace of processes");
        return;
    }
    let store = Store::sqlite();
    // One is ended with the program's group, the other goes on for a moment.
    let script = Script::new(&store, "sleep 300 & setsid sleep 0.2 & exit 0");
    let plain = command(&store, &script);
    let program = plain.get_program().to_str().unwrap();
    let in_container = ["--pid", "--fork", "--kill-child", "--", program];
    let server = Server::start(started_by(&plain, "unshare", &in_container));
    let (first, _) = children(server.process())[0];
    let key = server.key(ALL_SCOPES);
    for count in 0..3 {
        key.org(&format!("acme-{count}"));
    }
    eventually("nobody but the server is left", || {
        let left = children(first);
        (left.len() == 1 && left[0].1 != 'Z').then_some(())
    });
    let actual = Command::new("kill")
        .args(["-TERM", &first.to_string()])
        .status();
    assert!(actual.unwrap().success());
    eventually("the server ends", || {
        (!lives(server.process())).then_some(())
    });
    assert!(server.log().contains("\"stopped\""), "{}", server.log());
}

/// An upgrade puts another file in the place of the program's, while it runs.
#[test]
fn a_server_whose_own_file_is_replaced_or_removed_goes_on_starting_programs() {
    let store = Store::sqlite();
    let script = Script::new(&store, "exit 0");
    let plain = command(&store, &script);
    let copy = store.folder().join("molecule-cp");
    fs::copy(plain.get_program(), &copy).unwrap();
    let server = Server::start(started_by(&plain, copy.to_str().unwrap(), &[]));
    let key = server.key(ALL_SCOPES);
    key.org("before");
    let next = store.folder().join("next");
    fs::write(&next, "not a program").unwrap();
    fs::rename(&next, &copy).unwrap();
    key.org("replaced");
    fs::remove_file(&copy).unwrap();
    key.org("removed");
}

/// The settings hold secrets, and the programs run as the same user.
#[test]
fn a_program_can_not_read_the_environment_or_the_memory_of_the_server() {
    let store = Store::sqlite();
    let script = Script::new(
        &store,
        "for process in /proc/[0-9]*; do
             if tr '\\0' '\\n' < $process/environ | grep -q ^MOLECULE_CP_ADMIN_KEY=; then
                 echo $process >> read
             fi
             if head -c 0 $process/mem && grep -q molecule-cp $process/comm; then
                 test $process/mem -ef /proc/self/mem || echo $process >> opened
             fi
         done 2> /dev/null
         cat /proc/self/environ > own",
    );
    let mut command = command(&store, &script);
    if is_root() {
        // To root everything is open.
        let owner = format!("{NOBODY}:{NOBODY}");
        let given = Command::new("chown")
            .args(["-R", &owner])
            .arg(store.folder())
            .status();
        assert!(given.unwrap().success());
        command.uid(NOBODY).gid(NOBODY);
    }
    let server = Server::start(command);
    let key = server.key(ALL_SCOPES);
    let org = create(&key, "acme-corp");
    key.wait(&org, "ready");
    assert!(script.read("own").contains("MOLECULE_ORG_SLUG"));
    assert_eq!(script.read("read"), "");
    let server = format!("/proc/{}\n", server.process());
    assert!(!script.read("opened").contains(&server));
}
