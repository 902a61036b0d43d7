//! Who gets a connection, and who loses theirs.

use prometheus::Registry;

use super::*;

fn limiter(descriptors: u64) -> Arc<ConnectionLimiter> {
    let metrics = ConnectionMetrics::new(&Registry::new()).unwrap();
    ConnectionLimiter::new(descriptors, vec!["10.0.0.0/8".parse().unwrap()], metrics)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn acquire(limiter: &Arc<ConnectionLimiter>, address: &str) -> Option<ConnectionPermit> {
    limiter.acquire(ip(address))
}

fn busy(limiter: &Arc<ConnectionLimiter>, address: &str) -> ConnectionPermit {
    let permit = acquire(limiter, address).unwrap();
    permit.set_waits_for_client(false);
    permit
}

#[test]
fn bounds_leave_descriptors_for_everything_else() {
    assert_eq!(limiter(1024).bounds(), (768, 384));
    assert_eq!(limiter(128).bounds(), (64, 32));
    assert_eq!(limiter(1_000_000).bounds(), (16_384, 8192));
}

#[test]
fn an_address_at_its_share_loses_its_oldest_idle_connection() {
    let limiter = limiter(72);
    assert_eq!(limiter.bounds(), (8, 4));
    let at_work = busy(&limiter, "1.1.1.1");
    let idle = acquire(&limiter, "1.1.1.1").unwrap();
    let _others: Vec<_> = (0..2).map(|_| acquire(&limiter, "1.1.1.1")).collect();
    assert_eq!(idle.notice(), None);
    let newest = acquire(&limiter, "1.1.1.1").unwrap();
    assert_eq!(idle.notice(), Some(Notice::Evict));
    assert_eq!(at_work.notice(), None);
    assert_eq!(newest.notice(), None);
}

#[test]
fn an_address_whose_connections_all_work_gets_no_more_and_others_do() {
    let limiter = limiter(72);
    let mut permits: Vec<_> = (0..4).map(|_| busy(&limiter, "1.1.1.1")).collect();
    assert!(acquire(&limiter, "1.1.1.1").is_none());
    permits.push(busy(&limiter, "1.1.1.2"));
    // A network of IPv6 has one share, and an IPv4 address in either form as well.
    permits.extend((0..3).map(|_| busy(&limiter, "2001:db8::1")));
    assert!(acquire(&limiter, "::ffff:1.1.1.1").is_none());
    permits.remove(0);
    assert!(acquire(&limiter, "1.1.1.1").is_some());
}

#[test]
fn at_the_total_the_oldest_idle_connection_of_any_address_is_evicted() {
    let limiter = limiter(72);
    let idle: Vec<_> = (0..4).map(|_| acquire(&limiter, "2001:db8::1")).collect();
    let _busy: Vec<_> = (0..4).map(|_| busy(&limiter, "1.1.1.1")).collect();
    assert!(acquire(&limiter, "1.1.1.2").is_some());
    let notice = |permit: &Option<ConnectionPermit>| permit.as_ref().unwrap().notice();
    assert_eq!(notice(&idle[0]), Some(Notice::Evict));
    assert_eq!(notice(&idle[1]), None);
}

#[test]
fn a_trusted_proxy_has_no_share_of_its_own() {
    let limiter = limiter(72);
    let permits: Vec<_> = (0..8).map(|_| busy(&limiter, "10.1.2.3")).collect();
    assert!(acquire(&limiter, "10.1.2.3").is_none());
    drop(permits);
    assert!(limiter.connections.lock().by_origin.is_empty());
    assert!(limiter.connections.lock().all.is_empty());
}

#[test]
fn a_server_that_stops_notifies_all_and_those_that_come_after() {
    let limiter = limiter(72);
    let known = busy(&limiter, "1.1.1.1");
    limiter.close_after_response();
    let new = acquire(&limiter, "1.1.1.2").unwrap();
    for permit in [&known, &new] {
        assert_eq!(permit.notice(), Some(Notice::LastResponse));
        assert!(permit.notices().is_stopping());
    }
    limiter.drain();
    let newest = acquire(&limiter, "1.1.1.2").unwrap();
    for permit in [&known, &new, &newest] {
        assert_eq!(permit.notice(), Some(Notice::Drain));
    }
    assert_eq!(limiter.open(), 3);
    assert!(!Notices::default().is_stopping());
}
