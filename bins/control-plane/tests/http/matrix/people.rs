//! Who calls in the matrix, and about what.

use std::{thread, time::Duration};

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    kit::{ALL_SCOPES, Caller, ORG_SCOPES, Server, Store, eventually, tokens},
    matrix::table::{Of, RULE_PARTNER, Row, Who, rule},
    program::{succeeded, word},
};

/// How somebody stands to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    NoCredential,
    Garbage,
    WrongChecksum,
    Unknown,
    Revoked,
    Expired,
    Disabled,
    WrongScope,
    Foreign,
    Missing,
    BoundElsewhere,
    AddressNotAllowed,
    PlanLost,
    AdminMissing,
    Auditor,
    AdminAway,
    Admin,
    Right,
}

/// Every way there is.
pub const CELLS: &[Cell] = &[
    Cell::NoCredential,
    Cell::Garbage,
    Cell::WrongChecksum,
    Cell::Unknown,
    Cell::Revoked,
    Cell::Expired,
    Cell::Disabled,
    Cell::WrongScope,
    Cell::Foreign,
    Cell::Missing,
    Cell::BoundElsewhere,
    Cell::AddressNotAllowed,
    Cell::PlanLost,
    Cell::AdminMissing,
    Cell::Auditor,
    Cell::AdminAway,
    Cell::Admin,
    Cell::Right,
];

impl Cell {
    /// Whether the credential is one that the server knows.
    pub const fn is_known(self) -> bool {
        !matches!(
            self,
            Self::NoCredential | Self::Garbage | Self::WrongChecksum | Self::Unknown
        )
    }

    pub const fn is_admin(self) -> bool {
        matches!(
            self,
            Self::Admin | Self::AdminMissing | Self::Auditor | Self::AdminAway
        )
    }

    /// Whether there is such a case of an operation: no id of a foreign thing where there is no id.
    pub const fn fits(self, of: Of) -> bool {
        let asks_for_another = matches!(self, Self::Foreign | Self::Missing | Self::AdminMissing);
        !asks_for_another
            || matches!(
                of,
                Of::Partner | Of::Key | Of::TrustRule | Of::Org | Of::Endpoint | Of::Event
            )
    }
}

/// Keys in every state, and two partners with orgs.
pub struct People<'a> {
    server: &'a Server,
    creator: Caller,
    unrelated: Caller,
    rule: String,
    own_org: String,
    other_org: String,
    foreign_org: String,
    own_endpoint: String,
    foreign_endpoint: String,
    delivery: String,
    own_event: String,
    other_event: String,
    foreign_event: String,
    revoked: Caller,
    expired: Caller,
    disabled: Caller,
    away: Caller,
    fallen: Caller,
    bound: Caller,
    admin: Caller,
    admin_id: String,
    auditor: (Caller, String),
    admin_away: (Caller, String),
}

fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

impl<'a> People<'a> {
    pub fn gather(store: &Store, server: &'a Server) -> Self {
        let admin_key = |more: &[&str]| {
            let arguments = [&["admin-key", "create"], more].concat();
            let shown = succeeded(&store.run(&arguments, &[]));
            let caller = server.with_token(&word(&shown, "mol_ak_"));
            (caller, word(&shown, "adm_"))
        };
        let auditor = admin_key(&["--role", "auditor"]);
        let admin_away = admin_key(&["--allowed-cidrs", "10.0.0.0/8,2001:db8::/32"]);
        let admin = server.admin();
        let soon = (OffsetDateTime::now_utc() + Duration::from_secs(1))
            .format(&Rfc3339)
            .unwrap();
        let expired = server.issue(json!({"scopes": ALL_SCOPES, "expires_at": soon}));
        let (creator, unrelated) = (server.key(ALL_SCOPES), server.key(ALL_SCOPES));
        let (own, other) = (creator.org("acme-own"), creator.org("acme-other"));
        let foreign = unrelated.org("acme-foreign");
        let revoked = server.key_of(creator.partner_id(), ALL_SCOPES);
        assert_eq!(admin.delete(&revoked.path()).status, 204);
        let disabled = server.key_of(creator.partner_id(), ALL_SCOPES);
        admin
            .patch(&disabled.path(), json!({"disabled": true}))
            .expect(200);
        let fallen = server.key(ALL_SCOPES);
        let partner = format!("/cp/admin/partners/{}", fallen.partner_id());
        admin
            .patch(&partner, json!({"plan": "standard"}))
            .expect(200);
        let away = server.issue(json!({
            "scopes": ALL_SCOPES, "partner_id": creator.partner_id(),
            "allowed_cidrs": ["10.0.0.0/8", "2001:db8::/32"],
        }));
        let bound = server.issue(json!({"scopes": ORG_SCOPES, "org_id": id(&own)}));
        let endpoint = |caller: &Caller| {
            let request = json!({"url": "https://hooks.invalid/", "events": ["org.failed"]});
            id(&caller.post("/cp/webhook-endpoints", request).expect(201))
        };
        let (own_endpoint, foreign_endpoint) = (endpoint(&creator), endpoint(&unrelated));
        let test = format!("/cp/webhook-endpoints/{own_endpoint}/test");
        let delivery = id(&creator.post(&test, Value::Null).expect(200));
        eventually("the key has expired", || {
            thread::sleep(Duration::from_millis(100));
            (admin.get(&expired.path()).expect(200)["status"] == "expired").then_some(())
        });
        let event = |caller: &Caller, org: &Value| {
            let path = format!("/cp/audit-events?action=org.create&org_id={}", id(org));
            id(&caller.all(&path)[0])
        };
        let (own_event, other_event) = (event(&creator, &own), event(&creator, &other));
        let foreign_event = event(&unrelated, &foreign);
        RULE_PARTNER.set(creator.partner_id().to_owned());
        let rule = id(&admin.post("/cp/admin/trust-rules", rule()).expect(201));
        let admin_id = admin.get("/cp/whoami").expect(200)["credential"]["id"].clone();
        Self {
            server,
            rule,
            own_org: id(&own),
            other_org: id(&other),
            foreign_org: id(&foreign),
            own_endpoint,
            foreign_endpoint,
            delivery,
            own_event,
            other_event,
            foreign_event,
            creator,
            unrelated,
            revoked,
            expired,
            disabled,
            away,
            fallen,
            bound,
            admin,
            admin_id: admin_id.as_str().unwrap().to_owned(),
            auditor,
            admin_away,
        }
    }

    /// The id of a delivery to the maker's endpoint.
    pub fn delivery(&self) -> &str {
        &self.delivery
    }

    /// Who calls, and the id by which the credential is recorded.
    pub fn caller(&self, row: &Row, cell: Cell) -> (Caller, Option<String>) {
        let known = |caller: Caller| {
            let id = caller.id().to_owned();
            (caller, Some(id))
        };
        let unknown = |token: &str| (self.server.with_token(token), None);
        match cell {
            Cell::NoCredential => (self.server.anon(), None),
            Cell::Garbage => unknown("nonsense"),
            Cell::WrongChecksum => unknown(&tokens::mistyped(self.creator.token())),
            Cell::Unknown => unknown(&tokens::well_formed("mol_pk_")),
            Cell::Revoked => known(self.revoked.clone()),
            Cell::Expired => known(self.expired.clone()),
            Cell::Disabled => known(self.disabled.clone()),
            Cell::BoundElsewhere => known(self.bound.clone()),
            Cell::AddressNotAllowed => known(self.away.clone()),
            Cell::PlanLost => known(self.fallen.clone()),
            Cell::Auditor | Cell::AdminAway => {
                let (caller, id) = if cell == Cell::Auditor {
                    &self.auditor
                } else {
                    &self.admin_away
                };
                (caller.clone(), Some(id.clone()))
            }
            Cell::Admin | Cell::AdminMissing => (self.admin.clone(), Some(self.admin_id.clone())),
            Cell::Right | Cell::Foreign | Cell::Missing => known(self.holder(&scopes(row, true))),
            Cell::WrongScope => known(self.holder(&scopes(row, false))),
        }
    }

    fn holder(&self, scopes: &[&str]) -> Caller {
        self.server.key_of(self.creator.partner_id(), scopes)
    }

    /// The id that stands in the path.
    pub fn subject(&self, row: &Row, cell: Cell, caller: &Caller) -> String {
        let missing = |prefix: &str| format!("{prefix}_01HXKM4000000000000000000A");
        match (row.of, cell) {
            (Of::Nothing, _) => String::new(),
            (Of::Problem, _) => "not-found".to_owned(),
            (Of::Partner, Cell::Missing | Cell::AdminMissing) => missing("ptn"),
            (Of::Partner, Cell::Foreign) => self.unrelated.partner_id().to_owned(),
            (Of::Partner, _) => self.creator.partner_id().to_owned(),
            (Of::Key, Cell::Missing | Cell::AdminMissing) => missing("pak"),
            (Of::Key, Cell::Foreign | Cell::BoundElsewhere) => self.unrelated.id().to_owned(),
            (Of::Key, _) if !cell.is_known() => self.creator.id().to_owned(),
            (Of::Key, Cell::Admin | Cell::Auditor | Cell::AdminAway) => {
                self.holder(&["orgs:list"]).id().to_owned()
            }
            (Of::Key, _) => caller.id().to_owned(),
            (Of::TrustRule, Cell::Missing | Cell::AdminMissing) => missing("tru"),
            (Of::TrustRule, _) => self.rule.clone(),
            (Of::Org, Cell::Missing | Cell::AdminMissing) => missing("org"),
            (Of::Org, Cell::Foreign) => self.foreign_org.clone(),
            (Of::Org, Cell::BoundElsewhere) => self.other_org.clone(),
            (Of::Org, _) => self.own_org.clone(),
            (Of::Endpoint, Cell::Missing | Cell::AdminMissing) => missing("whe"),
            (Of::Endpoint, Cell::Foreign) => self.foreign_endpoint.clone(),
            (Of::Endpoint, _) => self.own_endpoint.clone(),
            (Of::Event, Cell::Missing | Cell::AdminMissing) => missing("evt"),
            (Of::Event, Cell::Foreign) => self.foreign_event.clone(),
            (Of::Event, Cell::BoundElsewhere) => self.other_event.clone(),
            (Of::Event, _) => self.own_event.clone(),
        }
    }
}

/// Scopes that allow an operation, or all that do not; a key has one in any case.
fn scopes(row: &Row, allow: bool) -> Vec<&'static str> {
    let needed = match row.who {
        Who::Scopes(needed) => needed,
        Who::Admin | Who::Any | Who::Open(_) => return vec!["billing:read"],
    };
    ALL_SCOPES
        .iter()
        .copied()
        .filter(|scope| needed.contains(scope) == allow)
        .collect()
}
