//! Servers that limits can't be shared through: each ends with its reason.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
    time::Duration,
};

use molecule_ratelimit_redis::{Failure, Settings};
use ratelimit::RateLimit;
use testkit::redis::Server;

use crate::kit::{Instance, key, settings};

const LIMIT: RateLimit = RateLimit::literal(30, 86_400);

async fn refusal(url: &str) -> Failure {
    match Instance::start(1, settings(url)).await {
        Err(failure) => failure,
        Ok(_) => panic!("{url} was taken"),
    }
}

/// The instance goes on by its share, for this reason, and shares limits again after the cure.
async fn goes_on(url: &str, reason: &str, cure: impl FnOnce()) {
    let instance = Instance::of(3, url).await;
    assert!(instance.is_partitioned());
    assert_eq!(instance.allowed(key(1), LIMIT, 30).await, 10);
    assert!(
        instance.failures(reason) >= 1,
        "{:?}",
        instance.limiter.stats()
    );
    cure();
    instance.until_partitioned(false).await;
    assert_eq!(instance.allowed(key(1), LIMIT, 30).await, 0);
}

#[tokio::test]
async fn a_password_is_given_by_the_url() {
    let Some(server) = Server::start(&["--requirepass", "p@ss/w"]) else {
        return;
    };
    let url = |user: &str| format!("redis://{user}127.0.0.1:{}", server.port());
    let instance = Instance::of(1, &url(":p%40ss%2Fw@")).await;
    assert_eq!(instance.allowed(key(1), LIMIT, 40).await, 30);
    assert!(!instance.is_partitioned());
    for wrong in ["", ":wrong@", "somebody:p%40ss%2Fw@"] {
        assert_eq!(
            refusal(&url(wrong)).await,
            Failure::Authentication,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_user_that_may_not_write_is_refused() {
    let rules = [
        "--user",
        "reader",
        "on",
        ">secret",
        "~*",
        "+@read",
        "+@connection",
    ];
    let Some(server) = Server::start(&rules) else {
        return;
    };
    let url = format!("redis://reader:secret@127.0.0.1:{}", server.port());
    let failure = refusal(&url).await;
    assert_eq!(failure.reason(), "permission", "{failure}");
}

#[tokio::test]
async fn a_user_with_the_rights_that_are_named_is_enough() {
    let rules = "--user limits on >secret ~molecule-cp:* +evalsha +script|load +get +set +del +hget \
                 +hset +time +info +select";
    let rules: Vec<&str> = rules.split_whitespace().collect();
    let Some(server) = Server::start(&rules) else {
        return;
    };
    let url = format!("redis://limits:secret@127.0.0.1:{}", server.port());
    let instance = Instance::of(1, &url).await;
    assert_eq!(instance.allowed(key(1), LIMIT, 40).await, 30);
    assert!(!instance.is_partitioned());
}

#[tokio::test]
async fn what_does_not_speak_redis_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    assert_eq!(refusal(&url).await, Failure::NotRedis);
}

#[tokio::test]
async fn a_server_that_never_answers_is_like_one_that_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let instance = Instance::of(3, &url).await;
    assert!(instance.is_partitioned());
    assert_eq!(instance.allowed(key(1), LIMIT, 30).await, 10);
    assert!(instance.failures("unreachable") >= 1);
}

#[tokio::test]
async fn a_replica_is_no_place_for_limits_until_it_is_promoted() {
    let Some(primary) = Server::start(&[]) else {
        return;
    };
    let port = primary.port().to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]).unwrap();
    let url = replica.url();
    goes_on(&url, "read_only", || {
        assert_eq!(replica.command("REPLICAOF NO ONE"), "+OK");
    })
    .await;
}

#[tokio::test]
async fn a_server_out_of_memory_is_gone_until_it_has_some() {
    let Some(server) = Server::start(&["--maxmemory", "100000"]) else {
        return;
    };
    goes_on(&server.url(), "out_of_memory", || {
        assert_eq!(server.command("CONFIG SET maxmemory 0"), "+OK");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_drops_keys_is_refused() {
    let arguments = ["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"];
    let Some(server) = Server::start(&arguments) else {
        return;
    };
    let policy = "allkeys-lru".to_owned();
    let failure = refusal(&server.url()).await;
    assert_eq!(failure, Failure::Evicts { policy });
    assert!(failure.to_string().contains("noeviction"), "{failure}");
    server.command("CONFIG SET maxmemory-policy noeviction");
    Instance::of(1, &server.url()).await;
}

#[tokio::test]
async fn keys_that_were_dropped_one_by_one_are_known_by_the_next_outage_alone() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let instance = Instance::of(1, &server.url()).await;
    assert_eq!(instance.allowed(key(1), LIMIT, 40).await, 30);
    assert_eq!(
        server.command(&format!("DEL molecule-cp:limit:{}", key(1))),
        ":1"
    );
    // The server alone counts while it answers; that is why one that drops keys is refused.
    assert!(instance.check(key(1), LIMIT).await.is_allowed());
}

#[tokio::test]
async fn two_control_planes_do_not_share_limits() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let of = |owners: &[&str], number: u8| Settings {
        owners: owners.iter().map(ToString::to_string).collect(),
        ..settings(&format!("redis://127.0.0.1:{}/{number}", server.port()))
    };
    let first = Instance::start(1, of(&["one"], 0)).await.unwrap();
    assert_eq!(first.allowed(key(1), LIMIT, 40).await, 30);
    let refused = Instance::start(1, of(&["two"], 0)).await.err().unwrap();
    assert_eq!(refused, Failure::Foreign);
    assert!(
        refused.to_string().contains("redis://host:6379/1"),
        "{refused}"
    );
    // In a database of its own it has its own.
    let second = Instance::start(1, of(&["two"], 1)).await.unwrap();
    assert_eq!(second.allowed(key(1), LIMIT, 40).await, 30);
    // A new pepper, of which the old one is known: the limits are taken over.
    let rotated = Instance::start(1, of(&["three", "one"], 0)).await.unwrap();
    assert_eq!(rotated.allowed(key(1), LIMIT, 40).await, 0);
    // The instance from before goes on, and one that does not know the new pepper is not let in any more.
    assert!(!first.is_partitioned());
    assert_eq!(
        Instance::start(1, of(&["one"], 0)).await.err(),
        Some(Failure::Foreign)
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!first.is_partitioned());
}
