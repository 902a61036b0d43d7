//! Choices among endpoints that wait, by numbers of partners and endpoints.

use ids::{TypedId as _, Ulid};
use time::OffsetDateTime;
use tokio::task::JoinSet;

use super::*;

fn partner(n: u128) -> PartnerId {
    PartnerId::from_ulid(Ulid::from(n))
}

fn endpoint(partner_number: u128, n: u128) -> PendingEndpoint {
    PendingEndpoint {
        id: EndpointId::from_ulid(Ulid::from(partner_number * 1000 + n)),
        partner_id: partner(partner_number),
        due_at: OffsetDateTime::UNIX_EPOCH,
    }
}

/// Slots with tasks in them, whose ids are the engine's own.
#[derive(Default)]
struct Scene {
    slots: Slots,
    tasks: JoinSet<()>,
    running: Vec<(Id, PendingEndpoint)>,
}

impl Scene {
    /// Starts what is chosen of these; which partners they are of.
    fn start(&mut self, pending: &[PendingEndpoint]) -> (Vec<PartnerId>, DeferredEndpoints) {
        let (chosen, deferred) = self.slots.choose(pending);
        for one in &chosen {
            let task = self.tasks.spawn(std::future::pending()).id();
            self.slots.acquire(task, *one);
            self.running.push((task, *one));
        }
        let partners = chosen.iter().map(|it| it.partner_id).collect();
        (partners, deferred)
    }

    /// Ends all that runs.
    fn end(&mut self, slow: bool) {
        for (task, _) in self.running.drain(..) {
            self.slots.release(task, Some(slow));
        }
    }
}

fn count(partners: &[PartnerId], n: u128) -> usize {
    partners.iter().filter(|&&it| it == partner(n)).count()
}

#[tokio::test]
async fn a_partner_has_its_share_of_the_slots_and_no_more() {
    let mut scene = Scene::default();
    let mut pending: Vec<_> = (1..=4)
        .flat_map(|n| (0..16).map(move |m| endpoint(n, m)))
        .collect();
    let (started, deferred) = scene.start(&pending);
    assert_eq!(started.len(), 4 * PARTNER_SHARE);
    assert_eq!(started[..4], [1, 2, 3, 4].map(partner), "by turns");
    let expect = DeferredEndpoints {
        partner_share: 4 * 8,
        ..DeferredEndpoints::default()
    };
    assert_eq!(deferred, expect);
    pending.push(endpoint(5, 0));
    let (started, _) = scene.start(&pending);
    assert_eq!(started, [partner(5)], "whoever comes next finds a slot");
}

#[tokio::test]
async fn endpoints_that_take_long_share_a_part_of_the_slots() {
    let mut scene = Scene::default();
    let pending: Vec<_> = (1..=40)
        .flat_map(|n| (0..4).map(move |m| endpoint(n, m)))
        .collect();
    let mut rounds = 0;
    while rounds < 2 {
        let (started, _) = scene.start(&pending);
        assert!(started.len() <= SLOTS);
        scene.end(true);
        rounds += 1;
    }
    let (started, deferred) = scene.start(&pending);
    assert_eq!(started.len(), SLOW_SHARE);
    assert!((1..=40).all(|n| count(&started, n) <= SLOW_PARTNER_SHARE));
    assert_eq!(deferred.slow_share, 160 - 32);
    let quick: Vec<_> = (0..3).map(|n| endpoint(50, n)).collect();
    assert_eq!(scene.start(&quick).0.len(), 3, "others are not held up");
    scene.end(false);
    let (started, _) = scene.start(&pending);
    assert!(
        started.len() > SLOW_SHARE,
        "whoever answers soon is free again"
    );
}

#[tokio::test]
async fn the_endpoints_of_a_partner_take_turns() {
    let mut scene = Scene::default();
    let pending: Vec<_> = (0..12).map(|n| endpoint(1, n)).collect();
    let mut served = HashMap::new();
    for _ in 0..6 {
        let (chosen, _) = scene.slots.choose(&pending);
        for one in chosen {
            *served.entry(one.id).or_insert(0) += 1;
        }
        scene.start(&pending);
        scene.end(false);
    }
    let turns: Vec<usize> = served.into_values().collect();
    assert_eq!(turns, [4; 12], "8 of 12 in each of 6 rounds");
}
