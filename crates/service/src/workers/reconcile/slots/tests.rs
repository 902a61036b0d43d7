//! Slots among partners, by numbers.

use ids::{OrgId, TypedId as _, Ulid};
use time::OffsetDateTime;

use super::*;

fn partner(n: u128) -> PartnerId {
    PartnerId::from_ulid(Ulid::from(n))
}

/// So many orgs of a partner that are due.
fn due(n: u128, status: OrgStatus, count: u128) -> Vec<DueOrg> {
    let org = |m| DueOrg {
        id: OrgId::from_ulid(Ulid::from(n * 1_000_000 + m)),
        partner_id: partner(n),
        status,
        due_at: OffsetDateTime::UNIX_EPOCH,
    };
    (0..count).map(org).collect()
}

fn reserve(slots: &Arc<ProvisioningSlots>, n: u128, count: usize) -> Vec<Permit> {
    let permits = slots.reserve(vec![Some(partner(n)); count]);
    permits.into_iter().flatten().collect()
}

fn partners(chosen: &[(DueOrg, Permit)]) -> Vec<PartnerId> {
    chosen.iter().map(|(org, _)| org.partner_id).collect()
}

#[test]
fn what_is_handed_over_has_half_of_the_slots_at_the_most() {
    let slots = Arc::new(ProvisioningSlots::default());
    assert_eq!((slots.free(), reserve(&slots, 1, 5).len()), (0, 0));
    let _receiver = slots.open(8);
    let mut handed = reserve(&slots, 1, 3);
    assert_eq!(handed.len(), 3);
    handed.append(&mut reserve(&slots, 2, 3));
    assert_eq!((handed.len(), slots.free()), (4, 4));
    let found = slots.choose(due(3, OrgStatus::Provisioning, 4), 4);
    assert_eq!((found.len(), slots.free()), (4, 0));
    handed.pop();
    assert_eq!(slots.free(), 1);
    handed.append(&mut reserve(&slots, 1, 2));
    assert_eq!((handed.len(), slots.free()), (4, 0));
    handed.pop();
    let last = slots.choose(due(3, OrgStatus::Provisioning, 1), 1);
    assert_eq!(reserve(&slots, 1, 1).len(), 0, "another has taken it");
    drop((last, found, handed));
    slots.close();
    assert_eq!((slots.free(), reserve(&slots, 1, 1).len()), (0, 0));
}

#[test]
fn whoever_is_alone_has_all_slots_and_the_next_free_one_is_for_who_has_fewer() {
    let slots = Arc::new(ProvisioningSlots::default());
    let _receiver = slots.open(8);
    let mut running = slots.choose(due(1, OrgStatus::Provisioning, 600), 8);
    assert_eq!((running.len(), slots.free()), (8, 0));
    assert_eq!(slots.waiting(), 592);
    let both = || {
        [
            due(1, OrgStatus::Provisioning, 500),
            due(2, OrgStatus::Provisioning, 3),
        ]
        .concat()
    };
    running.pop();
    let next = slots.choose(both(), 1);
    assert_eq!(
        partners(&next),
        [partner(2)],
        "though the other was due before"
    );
    running.extend(next);
    running.remove(0);
    running.extend(slots.choose(both(), 1));
    let own = |n| {
        partners(&running)
            .iter()
            .filter(|&&it| it == partner(n))
            .count()
    };
    assert_eq!((own(1), own(2)), (6, 2));
}

#[test]
fn many_partners_take_turns() {
    let slots = Arc::new(ProvisioningSlots::default());
    let _receiver = slots.open(1);
    let all: Vec<DueOrg> = (1..=5)
        .flat_map(|n| due(n, OrgStatus::Provisioning, n * 10))
        .collect();
    let mut order = Vec::new();
    for _ in 0..10 {
        let chosen = slots.choose(all.clone(), slots.free());
        order.extend(partners(&chosen));
    }
    let turn = [1, 2, 3, 4, 5].map(partner);
    assert_eq!(order, [turn, turn].concat());
}

#[test]
fn orgs_to_provision_and_to_deprovision_have_half_of_the_slots_each() {
    let slots = Arc::new(ProvisioningSlots::default());
    let _receiver = slots.open(8);
    let deprovision = || due(1, OrgStatus::Deprovisioning, 100);
    let mut running = slots.choose(deprovision(), 8);
    assert_eq!(running.len(), 8, "nothing else waits");
    let all = || [deprovision(), due(1, OrgStatus::Provisioning, 100)].concat();
    for _ in 0..20 {
        running.remove(0);
        running.extend(slots.choose(all(), 1));
    }
    let provisioning = running
        .iter()
        .filter(|(org, _)| org.status == OrgStatus::Provisioning);
    assert_eq!(provisioning.count(), 4);
    drop(running);
    // One slot goes to either kind by turns.
    let mut order = Vec::new();
    for _ in 0..4 {
        let chosen = slots.choose(all(), 1);
        order.extend(chosen.iter().map(|(org, _)| org.status.is_deletable()));
    }
    order.dedup();
    assert_eq!(order.len(), 4);
}

#[test]
fn while_something_waits_creations_of_whoever_has_a_slot_wait_for_their_turn() {
    let slots = Arc::new(ProvisioningSlots::default());
    let _receiver = slots.open(8);
    let found = slots.choose(due(1, OrgStatus::Provisioning, 9), 4);
    assert_eq!((found.len(), slots.waiting()), (4, 5));
    assert_eq!(reserve(&slots, 1, 1).len(), 0);
    let newcomer = reserve(&slots, 2, 2);
    assert_eq!(
        newcomer.len(),
        1,
        "the first of another partner begins at once"
    );
    let rest = slots.choose(Vec::new(), 4);
    assert_eq!((rest.len(), slots.waiting()), (0, 0));
    assert_eq!(reserve(&slots, 1, 2).len(), 2);
}
