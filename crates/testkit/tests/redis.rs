//! The throwaway Redis is there, apart from others, and goes away.

use std::net::TcpStream;

use testkit::redis::Server;

#[test]
fn servers_are_apart_and_end_with_their_values() {
    let (Some(one), Some(two)) = (Server::start(&[]), Server::start(&[])) else {
        return;
    };
    assert_eq!(one.command("SET a b"), "+OK");
    assert_eq!(one.text("GET a"), "b");
    assert_eq!(two.command("EXISTS a"), ":0");
    let port = one.port();
    drop(one);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(two.command("PING"), "+PONG");
}

#[test]
fn a_server_is_killed_restarted_and_paused_on_its_port() {
    let Some(server) = Server::start(&["--requirepass", "secret"]) else {
        return;
    };
    assert!(server.command("PING").starts_with("-NOAUTH"));
    server.kill();
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
    server.restart();
    server.pause();
    // The kernel takes the connection, and nobody answers.
    let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    drop(stream);
    server.resume();
    assert!(server.command("PING").starts_with("-NOAUTH"));
    server.pause();
    server.kill();
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_err());
}
