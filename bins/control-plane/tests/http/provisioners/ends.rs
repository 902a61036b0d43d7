//! Programs that are ended: by time, by a deletion, and with the server, in whatever way that ends.

use std::{
    fs,
    io::{Write as _, pipe},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{create, failure, read, step};
use crate::kit::{ALL_SCOPES, Script, Server, Store, eventually, lives, within};

on_both_engines![
    a_program_that_takes_too_long_is_ended_with_its_children,
    a_deletion_ends_the_provisioning_and_cleans_up_after_it,
    programs_end_with_a_server_that_is_killed_and_that_does_not_count,
    programs_end_with_a_server_that_is_asked_to_end,
    programs_end_before_another_server_takes_over_from_one_that_hangs,
];

/// Writes its own number and a child's, and stays.
const STAYS: &str = "echo $$ >> running
    sleep 1000 &
    echo $! >> running
    trap '' TERM
    while :; do sleep 1; done";

#[track_caller]
fn all_gone(processes: &[u32], timeout: Duration) {
    within(timeout, &format!("{processes:?} are gone"), || {
        processes.iter().all(|&one| !lives(one)).then_some(())
    });
}

fn a_program_that_takes_too_long_is_ended_with_its_children(store: Store) {
    let script = Script::new(&store, &format!("[ -e running ] && exit 0\n{STAYS}"));
    let server = script.start(&store, &[("MOLECULE_CP_PROVISIONER_TIMEOUT", "1")]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    let processes = script.processes("running", 2);
    let message = failure(&key, &id, "provisioner-timeout");
    assert!(message.contains("took too long"), "{message}");
    all_gone(&processes, Duration::ZERO);
    key.wait(&id, "ready");
    assert_eq!(step(&key, &id, "provision")["attempts"], 2);
}

/// The deletion sees whether the making still runs, and what it has left.
fn a_deletion_ends_the_provisioning_and_cleans_up_after_it(store: Store) {
    let script = Script::new(
        &store,
        &format!(
            "if [ $1 = provision ]; then
                mkdir made
                {STAYS}
             fi
             for one in $(cat running); do
                 kill -0 $one && grep -v '(.*) Z' /proc/$one/stat && echo $one >> overlap
             done
             rmdir made"
        ),
    );
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    let processes = script.processes("running", 2);
    key.delete(&format!("/cp/orgs/{id}")).expect(202);
    key.wait(&id, "deleted");
    all_gone(&processes, Duration::ZERO);
    assert_eq!(script.read("overlap"), "");
    assert!(!script.file("made").exists());
    assert_eq!(step(&key, &id, "provision")["status"], "failed");
    let events = server.events(&format!("org_id={id}&action=org.provisioned"));
    assert_eq!(events.len(), 0, "{events:#?}");
}

/// Waits until the org that was cut off is made by the next server, and sees that nothing was counted.
#[track_caller]
fn provisioned_by_the_next(server: &Server, token: &str, id: &str) {
    let key = server.with_token(token);
    key.wait(id, "ready");
    let step = step(&key, id, "provision");
    assert_eq!(
        (&step["status"], &step["attempts"]),
        (&json!("succeeded"), &json!(1))
    );
}

fn programs_end_with_a_server_that_is_killed_and_that_does_not_count(store: Store) {
    let script = Script::new(&store, STAYS);
    let mut server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    for kill in 1..=2 {
        let processes = script.processes("running", 2 * kill);
        server.kill();
        all_gone(&processes, Duration::from_secs(5));
        if kill == 2 {
            script.write("exit 0");
        }
        server = script.start(&store, &[]);
    }
    provisioned_by_the_next(&server, key.token(), &id);
}

fn programs_end_with_a_server_that_is_asked_to_end(store: Store) {
    let script = Script::new(&store, STAYS);
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    let processes = script.processes("running", 2);
    let (status, log) = server.terminate(Duration::from_secs(15));
    assert_eq!(status.code(), Some(0), "{log}");
    all_gone(&processes, Duration::ZERO);
    script.write("exit 0");
    let began = Instant::now();
    let server = script.start(&store, &[]);
    provisioned_by_the_next(&server, key.token(), &id);
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "it waits for no lease: {:?}",
        began.elapsed()
    );
}

fn signal(server: &Server, name: &str) {
    let process = server.process().to_string();
    let sent = Command::new("kill")
        .args([name, &process])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// A server that is stopped holds its lease no longer, and hangs on to its pipes.
fn programs_end_before_another_server_takes_over_from_one_that_hangs(store: Store) {
    let script = Script::new(&store, STAYS);
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    let processes = script.processes("running", 2);
    script.write(
        "for one in $(cat running); do
             kill -0 $one && grep -v '(.*) Z' /proc/$one/stat && echo $one >> overlap
         done
         exit 0",
    );
    signal(&server, "-STOP");
    let other = script.start(&store, &[]);
    all_gone(&processes, Duration::from_secs(9));
    provisioned_by_the_next(&other, key.token(), &id);
    assert_eq!(script.read("overlap"), "");
    signal(&server, "-CONT");
    eventually("the first one answers again", || {
        let caller = server.with_token(key.token());
        (read(&caller, &id)["status"] == "ready").then_some(())
    });
}

#[test]
fn a_detached_child_of_a_program_delays_nothing() {
    let store = Store::sqlite();
    // It is in a session of its own, and holds the program's standard error open.
    let script = Script::new(
        &store,
        "setsid sh -c 'echo $$ > away; exec sleep 60' &
         while [ ! -s away ]; do sleep 0.01; done
         sleep 1000 &
         echo $! > left",
    );
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let began = Instant::now();
    key.org("acme-corp");
    assert!(began.elapsed() < Duration::from_secs(15));
    let (away, left) = (script.processes("away", 1), script.processes("left", 1));
    all_gone(&left, Duration::ZERO);
    assert!(
        away.iter().all(|&one| lives(one)),
        "it is nobody's any more"
    );
    let kill = Command::new("kill").arg(away[0].to_string()).status();
    assert!(kill.unwrap().success());
}

#[test]
fn a_program_whose_guard_is_killed_is_ended_and_retried() {
    let store = Store::sqlite();
    let script = Script::new(&store, &format!("[ -e running ] && exit 0\n{STAYS}"));
    let server = script.start(&store, &[]);
    let key = server.key(ALL_SCOPES);
    let id = create(&key, "acme-corp");
    let processes = script.processes("running", 2);
    let stat = fs::read_to_string(format!("/proc/{}/stat", processes[0])).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let guard = rest.split(' ').nth(1).unwrap();
    assert!(
        Command::new("kill")
            .args(["-9", guard])
            .status()
            .unwrap()
            .success()
    );
    failure(&key, &id, "provisioner-killed");
    all_gone(&processes, Duration::from_secs(1));
    key.wait(&id, "ready");
}

/// The guard of a server that was killed may begin when another server has the org.
#[test]
fn no_program_is_started_for_a_server_that_is_gone() {
    let store = Store::sqlite();
    let script = Script::new(&store, "touch made");
    let path = script.path();
    let arguments = ["guard", "--", path.to_str().unwrap(), "provision"];
    let (commands, mut server) = pipe().unwrap();
    server.write_all(b"{}\n.").unwrap();
    let mut guard = store.program(&arguments, &[]);
    guard.stdin(commands);
    drop(server);
    let ended = guard.output().unwrap();
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert!(
        !ended.status.success() && errors.contains("the server is gone"),
        "{errors}"
    );
    assert!(!script.file("made").exists());
}
