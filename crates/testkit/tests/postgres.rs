//! The throwaway PostgreSQL comes, serves and goes.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use testkit::postgres::Server;

fn answers(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn every_database_has_a_name_of_its_own() {
    let Some(server) = Server::shared() else {
        return;
    };
    let (one, other) = (server.new_database(), server.new_database());
    assert_ne!(one, other);
    assert!(one.starts_with("postgres://postgres@127.0.0.1:"), "{one}");
}

#[test]
fn a_stopped_server_refuses_and_comes_back_with_its_data() {
    let Some(server) = Server::start() else {
        return;
    };
    server.sql("create table kept (id int)");
    server.stop();
    assert!(!answers(server.port()));
    server.restart();
    server.sql("insert into kept values (1)");
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let Some(server) = Server::start() else {
        return;
    };
    let (port, folder) = (server.port(), server.folder().to_owned());
    drop(server);
    assert!(!answers(port));
    assert!(!folder.exists());
}

#[test]
fn a_server_is_gone_after_its_process_was_killed() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "wait_to_be_killed"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("server: ").map(|(_, told)| told.to_owned()));
    child.kill().unwrap();
    child.wait().unwrap();
    let Some(told) = told else {
        assert!(Server::shared().is_none(), "the child has told nothing");
        return;
    };
    let (port, folder) = told.split_once(' ').unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while answers(port.parse().unwrap()) || Path::new(folder).exists() {
        assert!(Instant::now() < deadline, "{told} is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "the test above runs it, in a process to be killed"]
fn wait_to_be_killed() {
    let Some(server) = Server::shared() else {
        return;
    };
    assert!(answers(server.port()));
    println!("server: {} {}", server.port(), server.folder().display());
    std::thread::sleep(Duration::from_secs(60));
}

/// Has two transactions wait for each other.
fn deadlock(server: &Server) {
    let url = server.new_database();
    server.ask(
        &url,
        "create table pair (id int); insert into pair values (1), (2)",
    );
    let (url, in_order) = (&url, [[1, 2], [2, 1]]);
    let failed = std::thread::scope(|scope| {
        let run = |[first, second]: [i32; 2]| {
            let statements = format!(
                "begin; update pair set id = {first} where id = {first}; select pg_sleep(1); \
                 update pair set id = {second} where id = {second}; commit"
            );
            move || server.ask(url, &statements)
        };
        let sessions: Vec<_> = in_order.map(|order| scope.spawn(run(order))).into();
        let outcomes = sessions.into_iter().map(|session| session.join());
        outcomes.filter(Result::is_err).count()
    });
    assert_eq!(failed, 1, "one of the two is ended");
}

#[test]
fn a_server_that_has_detected_a_deadlock_fails_its_test() {
    let Some(server) = Server::start() else {
        return;
    };
    deadlock(&server);
    let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(server)));
    let told = dropped.unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    assert!(told.contains("deadlock detected"), "{told}");
    assert!(told.contains("update pair"), "{told}");
}

#[test]
fn a_deadlock_in_the_shared_server_fails_the_test_program() {
    if Server::shared().is_none() {
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--ignored", "--exact", "--nocapture", "deadlock_and_pass"]);
    let output = child.output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("a test has caused a deadlock in PostgreSQL"),
        "{told}"
    );
}

#[test]
#[ignore = "the test above runs it, in a process that it makes fail"]
fn deadlock_and_pass() {
    let Some(server) = Server::shared() else {
        return;
    };
    deadlock(server);
    std::thread::sleep(Duration::from_millis(200));
}

#[test]
fn a_row_that_refers_to_another_is_updated_once_in_a_transaction() {
    let Some(server) = Server::shared() else {
        return;
    };
    let url = server.new_database();
    server.ask(
        &url,
        "create table parent (id int primary key);
         create table child (id int primary key, parent int references parent, n int);
         insert into parent values (1);
         insert into child values (1, 1, 0)",
    );
    server.refuse_second_updates(&url);
    let update = "update child set n = n + 1";
    server.ask(&url, update);
    server.ask(
        &url,
        &format!("begin; {update}; commit; begin; {update}; commit"),
    );
    for twice in [
        format!("begin; {update}; {update}; commit"),
        format!("begin; savepoint a; {update}; release a; {update}; commit"),
        format!("begin; insert into child values (2, 1, 0); {update}; commit"),
    ] {
        let refused =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.ask(&url, &twice)));
        assert!(refused.is_err(), "{twice}");
    }
}
