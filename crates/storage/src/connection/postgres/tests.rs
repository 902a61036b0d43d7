//! Against servers that speak another language, or not at all.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use diesel::{RunQueryDsl as _, sql_types};

use super::*;
use crate::connection::error;

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

fn receive(stream: &mut TcpStream, kind_length: usize) -> Option<Vec<u8>> {
    let mut head = vec![0; kind_length + 4];
    stream.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes(head[kind_length..].try_into().unwrap());
    let mut body = vec![0; usize::try_from(length).unwrap() - 4];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

/// Lets one client in, and then has `answer` say what each of its simple queries gets: with none the server
/// stays silent, with an empty one it is gone.
fn serve(answer: impl Fn(&str) -> Option<Vec<u8>> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://me@{}/cp?sslmode=disable",
        listener.local_addr().unwrap()
    );
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        receive(&mut stream, 0).unwrap();
        let mut welcome = message(b'R', &0_u32.to_be_bytes());
        welcome.extend(message(b'S', b"in_hot_standby\0off\0"));
        welcome.extend(message(b'S', b"default_transaction_read_only\0off\0"));
        welcome.extend(message(b'Z', b"I"));
        stream.write_all(&welcome).unwrap();
        while let Some(query) = receive(&mut stream, 1) {
            let text = String::from_utf8_lossy(&query);
            let Some(mut bytes) = answer(text.trim_end_matches('\0')) else {
                continue;
            };
            if bytes.is_empty() {
                return;
            }
            bytes.extend(message(b'Z', b"I"));
            stream.write_all(&bytes).unwrap();
        }
    });
    url
}

/// What a server that speaks German says: with the SQLSTATE that it is asked for.
fn in_german(code: &str) -> Option<Vec<u8>> {
    let severity = if code == "57P01" { "FATAL" } else { "ERROR" };
    let fields = format!("SFEHLER\0V{severity}\0C{code}\0MVerklemmung entdeckt\0\0");
    Some(message(b'E', fields.as_bytes()))
}

#[test]
fn errors_are_told_by_their_code_in_every_language() {
    let outcome = |code: &str| {
        let mut connection = PgConnection::establish(&serve(in_german)).unwrap();
        connection.batch_execute(code).unwrap_err()
    };
    for code in ["40001", "40P01"] {
        assert!(error::is_conflict(&outcome(code)), "{code}");
    }
    for code in ["57P01", "57P02", "57P04", "57P05", "08006", "25006"] {
        let error = outcome(code);
        assert!(error::is_lost(&error), "{code}");
        assert!(error::store_error(&error).is_temporary(), "{code}");
    }
    for code in ["53300", "53200", "55P03", "57014", "57P03"] {
        let error = outcome(code);
        assert!(error::store_error(&error).is_temporary(), "{code}");
        assert!(
            !error::is_lost(&error) && !error::is_conflict(&error),
            "{code}"
        );
    }
    for code in ["23505", "42601", "22P02"] {
        assert!(!error::store_error(&outcome(code)).is_temporary(), "{code}");
    }
    let DieselError::DatabaseError(kind, information) = outcome("23505") else {
        panic!("it is an error of the database");
    };
    assert!(matches!(kind, DatabaseErrorKind::UniqueViolation));
    assert_eq!(
        information.message(),
        "Verklemmung entdeckt (SQLSTATE 23505)"
    );
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let mut connection = PgConnection::establish(&serve(|_| None)).unwrap();
    connection.server.timeout = Some(Duration::from_millis(100));
    let begun = Instant::now();
    let error = connection.batch_execute("SELECT 1").unwrap_err();
    assert!(error::is_lost(&error), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    // An answer that comes too late is nobody's.
    assert!(error::is_lost(
        &connection.batch_execute("SELECT 1").unwrap_err()
    ));
}

#[test]
fn a_server_that_does_not_greet_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("postgres://me@{address}/cp?connect_timeout=1");
    let begun = Instant::now();
    assert!(PgConnection::establish(&url).is_err());
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_server_that_goes_away_is_noticed() {
    let mut connection = PgConnection::establish(&serve(|_| Some(Vec::new()))).unwrap();
    assert!(error::is_lost(
        &connection.batch_execute("SELECT 1").unwrap_err()
    ));
}

fn on_a_real_server() -> Option<PgConnection> {
    let url = testkit::postgres::Server::shared()?.new_database();
    Some(PgConnection::establish(&url).unwrap())
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Binary)]
    bytes: Vec<u8>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    number: Option<i64>,
}

/// More than the system takes at once, in both directions.
#[test]
fn large_values_and_none_come_back_as_they_went() {
    let Some(mut connection) = on_a_real_server() else {
        return;
    };
    let sent: Vec<u8> = (0..20_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let found: Found = diesel::sql_query("SELECT $1 AS bytes, $2 AS number")
        .bind::<sql_types::Binary, _>(&sent)
        .bind::<sql_types::Nullable<sql_types::BigInt>, _>(None::<i64>)
        .get_result(&mut connection)
        .unwrap();
    assert!(found.bytes == sent && found.number.is_none());
}

#[test]
fn it_can_be_used_by_a_thread_of_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        if let Some(mut connection) = on_a_real_server() {
            connection.ping().unwrap();
        }
    });
}

#[test]
fn a_failed_statement_leaves_the_connection_usable() {
    let Some(mut connection) = on_a_real_server() else {
        return;
    };
    for _ in 0..3 {
        assert!(
            diesel::sql_query("SELECT 1 / 0")
                .execute(&mut connection)
                .is_err()
        );
        assert!(connection.batch_execute("SELEC").is_err());
        connection.ping().unwrap();
    }
    let count = diesel::sql_query("SELECT generate_series(1, 3)").execute(&mut connection);
    assert_eq!(count.unwrap(), 3);
}

#[test]
fn a_transaction_that_failed_needs_its_rollback() {
    let Some(mut connection) = on_a_real_server() else {
        return;
    };
    AnsiTransactionManager::begin_transaction(&mut connection).unwrap();
    AnsiTransactionManager::begin_transaction(&mut connection).unwrap();
    assert!(connection.batch_execute("SELECT 1 / 0").is_err());
    // The release of a savepoint in a failed transaction rolls back to it.
    assert!(AnsiTransactionManager::commit_transaction(&mut connection).is_err());
    connection.ping().unwrap();
    AnsiTransactionManager::commit_transaction(&mut connection).unwrap();
    assert!(!AnsiTransactionManager::is_broken_transaction_manager(
        &mut connection
    ));
}
