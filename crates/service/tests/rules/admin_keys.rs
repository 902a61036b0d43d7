//! Roles, ends and networks of admin keys.

use std::net::{IpAddr, Ipv4Addr};

use keys::{AdminKeyDraft, AdminRole, Networks, PlainKey};
use orgs::LocalProvisioner;
use service::{
    ClientAddress, Credentials, Error, RequestInfo, SystemUser, admin_key_create, operations,
};
use testkit::build::name;
use time::Duration;

use crate::kit::{Bench, bench, env, peppers};

async fn created(bench: &Bench<LocalProvisioner>, draft: AdminKeyDraft) -> PlainKey {
    let by = SystemUser {
        name: "root".to_owned(),
        host: "cp-1".to_owned(),
    };
    let (env, peppers) = (env(&bench.clock, 2), peppers());
    let created = admin_key_create(&bench.db, &env, &peppers, draft, by);
    created.await.unwrap().1
}

async fn asked(
    bench: &Bench<LocalProvisioner>,
    key: &PlainKey,
    request: RequestInfo,
) -> Result<(), Error> {
    let presented = Credentials {
        key: key.clone(),
        revokes: None,
    };
    let context = bench.service.authenticate(request, presented).await;
    let context = context.map_err(|rejection| rejection.error)?;
    let authorized = bench.service.authorize(&context).await;
    authorized.map_err(|rejection| rejection.error)
}

#[tokio::test]
async fn an_admin_key_is_refused_from_its_end_on_also_from_the_cache() {
    let bench = bench().await;
    let end = bench.clock.now() + Duration::days(1);
    let key = created(
        &bench,
        AdminKeyDraft {
            expires_at: Some(end),
            ..AdminKeyDraft::operator(name("for a day"))
        },
    )
    .await;
    let call = |bench: &Bench<_>| bench.call(operations::PARTNER_LIST);
    asked(&bench, &key, call(&bench)).await.unwrap();
    bench
        .clock
        .advance(Duration::days(1) - Duration::MICROSECOND);
    asked(&bench, &key, call(&bench)).await.unwrap();
    bench.clock.advance(Duration::MICROSECOND);
    for _ in 0..2 {
        let refused = asked(&bench, &key, call(&bench)).await.unwrap_err();
        assert!(matches!(refused, Error::KeyExpired), "{refused:?}");
    }
}

#[tokio::test]
async fn an_admin_key_is_taken_from_its_networks_alone() {
    let bench = bench().await;
    let key = created(
        &bench,
        AdminKeyDraft {
            allowed_cidrs: Some(Networks::parse(["192.0.2.0/24"]).unwrap()),
            ..AdminKeyDraft::operator(name("of the office"))
        },
    )
    .await;
    let from = |ip: Option<Ipv4Addr>| RequestInfo {
        client: ClientAddress {
            ip: ip.map(IpAddr::V4),
            ..ClientAddress::direct(IpAddr::V4(Ipv4Addr::LOCALHOST))
        },
        ..bench.call(operations::PARTNER_LIST)
    };
    let inside = Some(Ipv4Addr::new(192, 0, 2, 9));
    asked(&bench, &key, from(inside)).await.unwrap();
    for outside in [Some(Ipv4Addr::new(192, 0, 3, 9)), None] {
        let refused = asked(&bench, &key, from(outside)).await.unwrap_err();
        assert!(matches!(refused, Error::IpNotAllowed(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn an_auditor_reads_what_is_for_admin_keys_and_nothing_else() {
    let bench = bench().await;
    let key = created(
        &bench,
        AdminKeyDraft {
            role: AdminRole::Auditor,
            ..AdminKeyDraft::operator(name("auditor"))
        },
    )
    .await;
    for (method, route, operation, is_allowed) in [
        ("GET", "/cp/admin/partners", operations::PARTNER_LIST, true),
        ("HEAD", "/cp/admin/partners", operations::PARTNER_LIST, true),
        ("GET", "/cp/admin/partner-keys", operations::KEY_LIST, true),
        ("GET", "/cp/whoami", operations::WHOAMI, true),
        ("GET", "/cp/plans", operations::PLAN_LIST, false),
        ("GET", "/cp/orgs", operations::ORG_LIST, false),
        (
            "POST",
            "/cp/admin/partners",
            operations::PARTNER_CREATE,
            false,
        ),
        (
            "DELETE",
            "/cp/admin/partner-keys/{id}",
            operations::KEY_REVOKE,
            false,
        ),
        (
            "OTHER",
            "/cp/admin/partners",
            operations::PARTNER_LIST,
            false,
        ),
    ] {
        let request = RequestInfo {
            method,
            route,
            ..bench.call(operation)
        };
        let answer = asked(&bench, &key, request).await;
        if is_allowed {
            answer.unwrap();
        } else {
            let refused = answer.unwrap_err();
            assert!(
                matches!(refused, Error::NotPermitted(_)),
                "{method} {route}"
            );
        }
    }
}
