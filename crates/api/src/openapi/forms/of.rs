//! The forms by the names under which the fields of views ask for them.

use ids::{AdminKeyId, DeliveryId, EndpointId, EventId, KeyId, OrgId, PartnerId, WorkspaceId};
use utoipa::openapi::Schema;

use super::{self as form, OrNull as _};
use crate::ErrorCode;

macro_rules! fields {
    ($($name:ident = $form:expr;)*) => {
        $(pub(crate) fn $name() -> Schema {
            Schema::from($form)
        })*
    };
}

fields! {
    key_id = form::id::<KeyId>();
    admin_key_id = form::id::<AdminKeyId>();
    partner_id = form::id::<PartnerId>();
    org_id = form::id::<OrgId>();
    workspace_id = form::id::<WorkspaceId>();
    event_id = form::id::<EventId>();
    endpoint_id = form::id::<EndpointId>();
    delivery_id = form::id::<DeliveryId>();
    event_kinds = form::list(form::event_kind(), Some(1), None);
    message_type = form::message_type();
    endpoint_status = form::one_of(["active", "disabled"]);
    delivery_status = form::one_of(["pending", "delivered", "failed"]);
    maybe_answer_status = form::whole(100, 999).or_null();
    maybe_partner_id = form::id::<PartnerId>().or_null();
    maybe_org_id = form::id::<OrgId>().or_null();
    name = form::name();
    maybe_name = form::name().or_null();
    text = form::text();
    maybe_text = form::text().or_null();
    time = form::time();
    maybe_time = form::time().or_null();
    slug = form::slug();
    plan = form::plan();
    maybe_plans = form::plans().or_null();
    partner_plan = form::partner_plan();
    labels = form::labels();
    scopes = form::scopes();
    maybe_scopes = form::scopes().or_null();
    maybe_networks = form::networks().or_null();
    maybe_count = form::org_count().or_null();
    key_status = form::key_status();
    key_prefix = form::matching("^mol_pk_[0-9A-Za-z]{5}$");
    on_revoke = form::on_revoke();
    org_status = form::org_status();
    step_name = form::one_of(["provision", "workspace", "deprovision"]);
    step_status = form::one_of(["pending", "running", "succeeded", "failed"]);
    attempts = form::whole(0, 4_294_967_295);
    url = form::uri();
    subscription_status = form::subscription_status();
    action = form::action();
    outcome = form::outcome();
    actor_type = form::one_of(["partner_key", "admin", "system"]);
    target_type = form::one_of([
        "partner", "partner_key", "admin_key", "org", "workspace", "audit_log", "audit_event",
        "webhook_endpoint",
        "route",
    ]);
    maybe_actor_id = form::matching("^(pak|adm)_[0-7][0-9A-HJKMNP-TV-Z]{25}$").or_null();
    maybe_status_code = form::whole(100, 599).or_null();
    details = form::any_object();
    credential_type = form::one_of(["partner_key", "admin"]);
    credential_id = form::matching("^(pak|adm)_[0-7][0-9A-HJKMNP-TV-Z]{25}$");
    limit_name = form::one_of(["key", "partner", "admin", "revocation"]);
    limit = form::whole(1, 100_000_000);
    window_seconds = form::whole(1, 86_400);
    remaining = form::whole(0, 100_000_000);
    problem_status = form::whole(400, 599);
    code = form::one_of(ErrorCode::ALL.iter().map(|code| code.as_str()));
    request_id = form::matching("^[A-Za-z0-9._-]{1,128}$");
    pointer = form::text();
    violated = form::list(form::text(), Some(1), None);
}
