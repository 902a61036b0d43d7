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
