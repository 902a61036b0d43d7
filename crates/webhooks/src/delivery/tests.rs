//! How attempts end.

use ids::{TypedId as _, Ulid};
use time::{Duration, macros::datetime};

use super::*;

const NOW: OffsetDateTime = datetime!(2026-04-23 08:00 UTC);

fn delivery(kind: EventKind) -> Delivery {
    let ids = (
        EndpointId::from_ulid(Ulid::from(1)),
        PartnerId::from_ulid(Ulid::from(2)),
    );
    let id = DeliveryId::from_ulid(Ulid::from(3));
    Delivery::new(id, ids, kind, "{}".to_owned(), NOW)
}

fn answered(status_code: u16) -> SendOutcome {
    let body = "a\nb".to_owned();
    SendOutcome::Response { status_code, body }
}

#[track_caller]
fn check(reception: SendOutcome, expect: AttemptOutcome, error: Option<&str>) {
    let mut delivery = delivery(EventKind::OrgReady);
    let at = NOW + Duration::SECOND;
    assert_eq!(delivery.record(reception, at, 0), expect);
    let answer = delivery.last_answer.unwrap();
    assert_eq!((answer.at, delivery.attempts), (at, 1));
    let actual = answer.error.as_deref().unwrap_or_default();
    assert!(actual.contains(error.unwrap_or_default()), "{actual}");
    assert_eq!(answer.error.is_some(), error.is_some(), "{actual}");
    let (status, due, ended) = match expect {
        AttemptOutcome::Retry => (
            DeliveryStatus::Pending,
            Some(at + Duration::seconds(5)),
            None,
        ),
        AttemptOutcome::Delivered => (DeliveryStatus::Delivered, None, Some(at)),
        AttemptOutcome::Exhausted | AttemptOutcome::Gone => {
            (DeliveryStatus::Failed, None, Some(at))
        }
    };
    assert_eq!(delivery.status, status);
    assert_eq!((delivery.due_at, delivery.ended_at), (due, ended));
    let delivered = expect == AttemptOutcome::Delivered;
    assert_eq!(delivery.delivered_at.is_some(), delivered);
}

#[test]
fn two_hundreds_alone_are_taken_and_410_ends_it() {
    for status in [200, 201, 202, 204, 299] {
        check(answered(status), AttemptOutcome::Delivered, None);
    }
    for status in [100, 199, 400, 401, 404, 409, 411, 422, 429, 500, 503, 599] {
        check(answered(status), AttemptOutcome::Retry, Some("2xx"));
    }
    for status in [300, 301, 302, 307, 308] {
        check(
            answered(status),
            AttemptOutcome::Retry,
            Some("not followed"),
        );
    }
    check(answered(410), AttemptOutcome::Gone, Some("disabled"));
    let silent = SendOutcome::NoResponse("no answer within 20 seconds".to_owned());
    check(silent, AttemptOutcome::Retry, Some("20 seconds"));
}

#[test]
fn after_ten_tries_it_is_given_up_and_can_be_asked_for_again() {
    let mut delivery = delivery(EventKind::OrgReady);
    for attempt in 1..=9 {
        assert_eq!(
            delivery.record(answered(500), NOW, 0),
            AttemptOutcome::Retry
        );
        assert_eq!(delivery.attempts, attempt);
    }
    assert_eq!(
        delivery.record(answered(500), NOW, 0),
        AttemptOutcome::Exhausted
    );
    assert_eq!(delivery.status, DeliveryStatus::Failed);

    delivery.again(NOW);
    assert_eq!(delivery.status, DeliveryStatus::Pending);
    assert_eq!((delivery.due_at, delivery.ended_at), (Some(NOW), None));
    assert_eq!(
        delivery.record(answered(500), NOW, 0),
        AttemptOutcome::Retry
    );
    assert_eq!(delivery.due_at, Some(NOW + Duration::seconds(5)));
    assert_eq!(delivery.attempts, 11);
}

#[test]
fn a_test_is_tried_once() {
    let mut delivery = delivery(EventKind::Test);
    assert_eq!(
        delivery.record(answered(500), NOW, 0),
        AttemptOutcome::Exhausted
    );
}

#[test]
fn what_was_given_up_on_its_way_is_tried_no_more() {
    let mut delivery = delivery(EventKind::OrgReady);
    delivery.due_at = None;
    delivery.status = DeliveryStatus::Failed;
    assert_eq!(
        delivery.record(answered(500), NOW, 0),
        AttemptOutcome::Exhausted
    );
    assert_eq!(
        delivery.record(answered(200), NOW, 0),
        AttemptOutcome::Delivered
    );
}

#[test]
fn at_an_old_url_a_410_is_a_failure_as_any_other() {
    let mut message = delivery(EventKind::OrgReady);
    let outcome = message.record_from_old_url(answered(410), NOW, 0);
    assert_eq!(outcome, AttemptOutcome::Retry);
    assert_eq!((message.attempts, message.tries), (1, 1));
    assert_eq!(message.due_at, Some(NOW + Duration::seconds(5)));
    let answer = message.last_answer.clone().unwrap();
    assert_eq!(answer.status_code, Some(410));
    let error = answer.error.unwrap();
    assert!(error.contains("old URL"), "{error}");
    let outcome = message.record_from_old_url(answered(200), NOW, 0);
    assert_eq!(outcome, AttemptOutcome::Delivered);
    assert_eq!(message.last_answer.unwrap().error, None);

    let mut test = delivery(EventKind::Test);
    let outcome = test.record_from_old_url(answered(410), NOW, 0);
    assert_eq!(outcome, AttemptOutcome::Exhausted);
}

#[test]
fn what_a_receiver_says_is_kept_in_bounds() {
    let mut delivery = delivery(EventKind::OrgReady);
    let body = format!("\u{1b}[31m{}", "\u{e9}".repeat(5000));
    let long = SendOutcome::Response {
        status_code: 500,
        body,
    };
    delivery.record(long, NOW, 0);
    let excerpt = delivery.last_answer.unwrap().excerpt.unwrap();
    assert_eq!(excerpt.chars().count(), crate::MAX_EXCERPT);
    assert!(!excerpt.contains(char::is_control));
}

#[test]
fn every_status_reads_back_as_it_was_printed() {
    for status in ["pending", "delivered", "failed"] {
        assert_eq!(DeliveryStatus::parse(status).unwrap().as_str(), status);
    }
    assert_eq!(DeliveryStatus::parse("sent"), None);
}
