//! What each member of a request or an answer means: one sentence for each, said once.

use std::collections::BTreeMap;

use utoipa::openapi::{RefOr, Schema};

/// Puts its meaning beside every member that has none yet.
pub(super) fn explain(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    for (name, schema) in schemas {
        explain_members(name, schema);
    }
}

fn explain_members(of: &str, schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            for (name, form) in &mut object.properties {
                explain_members(name, form);
                describe(form, meaning(of, name));
            }
        }
        RefOr::T(Schema::AllOf(parts)) => {
            for part in &mut parts.items {
                explain_members(of, part);
            }
        }
        RefOr::T(Schema::OneOf(parts)) => {
            for part in &mut parts.items {
                explain_members(of, part);
            }
        }
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

fn describe(form: &mut RefOr<Schema>, meaning: Option<&str>) {
    let place = match form {
        RefOr::T(Schema::Object(form)) => &mut form.description,
        RefOr::T(Schema::Array(form)) => &mut form.description,
        RefOr::T(Schema::OneOf(form)) => &mut form.description,
        RefOr::T(Schema::AllOf(form)) => &mut form.description,
        RefOr::T(_) | RefOr::Ref(_) => return,
    };
    if place.is_none() {
        *place = meaning.map(str::to_owned);
    }
}

/// The meaning of a member; `of` is the schema or the member that it is in.
fn meaning(of: &str, member: &str) -> Option<&'static str> {
    special(of, member).or_else(|| common(member))
}

/// Members that mean something of their own in their place.
fn special(of: &str, member: &str) -> Option<&'static str> {
    Some(match (of, member) {
        ("Actor", "type") => "What kind of caller.",
        ("Actor", "id") => "The key; `null` for the system.",
        ("Actor", "partner_id") => "The partner it acted for; `null` for an admin.",
        ("Target", "type") => "What kind of thing.",
        ("Target", "id") => "Which one; `null` for a list.",
        ("Credential", "type") => "What kind of key.",
        ("Credential", "scopes") => "What it may do; `null` for an admin key, which has no scopes.",
        ("Failure", "code") => "A word for what went wrong.",
        ("Limit", "name") => "Its name, as in the header `RateLimit`.",
        ("Org" | "OrgState", "status") => "Where the org stands.",
        ("Org", "expires_at") => {
            "When the org is deleted unless its lease is renewed; `null` if it has none."
        }
        ("DeletedOrgs", "data") => "The orgs, newest first.",
        ("DeletedOrg", "status") => "In a dry run the status now, else the one after the deletion.",
        ("Health", "status") => "That all is well.",
        ("NewBilling" | "subscription" | "Subscription", "status") => {
            "Whether the org is paid for."
        }
        ("PartnerKey", "status") => "Where the key stands.",
        ("Partner" | "NewPartner" | "PartnerChanges", "plan") => {
            "What the partner has bought; keys are for `partner` and `enterprise`."
        }
        ("Partner" | "NewPartner" | "PartnerChanges", "rate_limit") => {
            "A budget that all of the partner's keys share; `null` for none."
        }
        ("PartnerChanges" | "PartnerKeyChanges", "labels") => {
            "Changes to the labels: a value sets one, `null` takes it away."
        }
        ("NewPartnerKey" | "PartnerKeyChanges", "rate_limit") => {
            "The key's own limit; by default 600 in 60 seconds."
        }
        ("NewPartnerKey", "partner_id") => {
            "The partner that gets the key; without it and `org_id`, a new one."
        }
        ("Step", "name") => "Which step.",
        ("Step", "status") => "Where the step stands.",
        ("Problem", "status") => "The HTTP status.",
        ("Problem", "type") => "A URL that explains the error to a person.",
        ("Problem", "code") => "What went wrong, as programs tell errors apart.",
        ("Problem", "detail") => "What happened here and what to do next.",
        ("FieldError", "detail") => "What is wrong and what would be right.",
        ("WebhookEndpoint" | "NewWebhookEndpoint", "url") => {
            "Where messages are sent: `https`, on the public internet, at most 2048 characters."
        }
        ("WebhookEndpoint", "status") => "Whether messages are sent.",
        ("WebhookEndpoint", "disabled_at") => {
            "Since when nothing is sent, because the receiver answered 410."
        }
        ("IssuedWebhookEndpoint", "secret") => {
            "What signatures are made with, shown this once: `whsec_` and base64."
        }
        ("WebhookDelivery", "id") => {
            "Its id, and the `webhook-id` of the message in every attempt."
        }
        ("WebhookDelivery", "type") => "What the message is about.",
        ("WebhookDelivery", "status") => "Where the delivery stands.",
        ("WebhookDelivery", "attempts") => "How often it was tried.",
        ("DeliveryAnswer", "status_code") => "The status of the answer; `null` if there was none.",
        ("Workspace" | "NewWorkspace", "slug") => "Its part of the URL within the org.",
        _ => return None,
    })
}

/// Members that mean the same wherever they stand.
fn common(member: &str) -> Option<&'static str> {
    Some(match member {
        "action" => "What was done or tried.",
        "allowed_cidrs" => {
            "The networks from which the key can be used, such as `192.0.2.0/24`, with no bit set \
             beyond the prefix, or single addresses; `null` for all."
        }
        "at" => "When the attempt ended.",
        "attempts" => "How often it was begun, what was cut off with its server not counted.",
        "cancel_at" => "When the subscription ends, if that is settled.",
        "created_at" => "When it was made.",
        "created_by" => "The admin key that made it.",
        "created_by_key_id" => "The partner key that created it.",
        "current_period_end" => "When the paid period ends; later than its start.",
        "current_period_start" => "When the paid period began.",
        "data" => "The items, newest first.",
        "deleted_at" => "When it was gone.",
        "delivered_at" => "When the receiver took the message.",
        "details" => "Whatever else is worth knowing; never a secret.",
        "disabled" => "Whether an admin has switched the key off.",
        "endpoint_id" => "The endpoint that it is for.",
        "error" => "What is wrong with the answer, or why there was none; `null` if it is right.",
        "events" => "What to be told of.",
        "excerpt" => "The beginning of the answer's body.",
        "expires_at" => "When the key ends by itself, in the future; `null` for never.",
        "expires_in_days" => "The same in days from now; not beside `expires_at`.",
        "external_id" => "The partner's own name for it.",
        "failure" => "Why the last attempt failed.",
        "finished_at" => "When it last ended.",
        "has_more" => {
            "Whether the list goes on. Where few items match, a page may hold fewer than `limit`, even none, and go on all the same."
        }
        "id" => "Its id.",
        "ip" => "The client's address; `null` where it can't be told.",
        "key" => "The secret, shown this once.",
        "key_prefix" => "The first characters of the secret, to tell it by.",
        "labels" => "Up to 16 labels of the client's own.",
        "last_answer" => "What the last attempt brought; `null` before the first.",
        "last_used_at" => "When it was last used, true to the minute.",
        "limit" => "How many calls the window has.",
        "login_url" => "Where the org's customer logs in.",
        "max_live_orgs" => {
            "How many orgs of the key's making there may be, deleted ones aside; `null` for any number."
        }
        "max_orgs" => {
            "How many orgs the partner may have, deleted ones aside; `null` for any number."
        }
        "message" => "What the provisioner said.",
        "method" => "The method of the request.",
        "name" => "A name to tell it by.",
        "next_attempt_at" => "When it is tried next; `null` if it is not.",
        "next_cursor" => "What to send as `cursor` for the next page; `null` on the last.",
        "occurred_at" => "When it happened.",
        "on_revoke" => {
            "What becomes of the orgs of the key's making when it is revoked; by default they stay."
        }
        "old_secret_expires_at" => {
            "Until when messages are signed with the secret before the last rotation too."
        }
        "org_id" => "The org that it is in or bound to.",
        "org_plans" => {
            "The plans of the orgs that the key may create, change and delete; `null` for all."
        }
        "outcome" => "How it ended.",
        "partner" => "The partner who holds it; `null` for an admin key.",
        "partner_id" => "The partner whose it is.",
        "plan" => "The org's plan, one of those that the operator offers.",
        "pointer" => "Where, as a JSON pointer (RFC 6901) into the body.",
        "ready_at" => "When it was first ready.",
        "remaining" => "What is left after this call.",
        "request_id" => "The request's id.",
        "revoked_at" => "When it was revoked.",
        "route" => "The route that the request fitted.",
        "scopes" => "What the key may do.",
        "slug" => "Its part of the URL: 3 to 32 letters, digits and single hyphens.",
        "started_at" => "When it was last begun.",
        "status_code" => "The status of the answer.",
        "ttl_seconds" => "How long the org lives from now on unless its lease is renewed.",
        "title" => "What it means, always the same for one code.",
        "updated_at" => "When it last changed.",
        "user_agent" => "What the client says it is.",
        "violated-policies" => "Which limits are used up, for `rate-limited`.",
        "window_seconds" => "The time in which the limit refills, in seconds.",
        _ => return None,
    })
}
