//! `/cp/admin/partner-keys`.

use std::time::Duration;

use api::{
    ConfirmationView, EmptyBody, ErrorCode, KeyFilters, KeyRevocation, KeyView, MAX_RECEIPT_WAIT,
    MissingConfirmationView, NewKeyView, NewPartnerKey, NewRotation, PartnerKeyChanges,
    Request as _, RevocationReceiptView, Time,
    openapi::{Body, Content, Header, Operation, Params, Success, Tag},
};
use keys::{PartnerKey, PlainKey, RevocationReason};
use service::RevocationReceipt;

use super::{json, page, rendered};
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError, PREFERENCE_APPLIED};

pub const KEY_CREATE: Operation = Operation {
    detail: "The response has the secret in `key`; it is shown only once. Without `partner_id` and `org_id`, a \
             partner with the plan `partner` is created for the key. A key with `org_id` has access to that org \
             only. A key with `org_plans` creates orgs of those plans only. `max_ttl_seconds` gives every org created \
             with the key a lease. `max_live_orgs` limits how many orgs \
             created with the key exist at the same time; with `on_revoke` set to `delete`, revoking the key \
             deletes them. Send at most one of `expires_at` and `expires_in_days`.",
    body: Some(Body::of::<NewPartnerKey>()),
    errors: &[ErrorCode::PartnerPlanRequired, ErrorCode::KeyStateConflict],
    ..Operation::new(
        "createPartnerKey",
        Tag::PartnerKeys,
        "Create a partner key",
        &[Success::new(
            201,
            "The new key, with its secret.",
            Content::json::<NewKeyView<'static>>(),
        )],
    )
};

pub async fn create(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let now = request.context.request.at;
    let asked = request.json(|body| NewPartnerKey::from_body(body, &now))?;
    let render = move |key: &PartnerKey, secret: &PlainKey| {
        rendered(&NewKeyView::new(key.clone(), secret, now))
    };
    let answer = request
        .service()
        .key_create(&request.context, asked.into_draft(now), render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const KEY_LIST: Operation = Operation {
    detail: "Admin keys list all keys. A partner key lists the keys of its partner, or only itself if it has an \
             `org_id`. The list has no secrets. `partner_id` is for admins.",
    query: &[Params::of::<KeyFilters>()],
    ..Operation::new(
        "listPartnerKeys",
        Tag::PartnerKeys,
        "List partner keys",
        &[Success::new(
            200,
            "A page of keys.",
            Content::list::<KeyView>(),
        )],
    )
};

pub async fn list(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let now = request.context.request.at;
    let caller = &request.context.caller;
    let (filters, params) =
        request.list::<KeyFilters>(&format!("keys in {}", caller.cursor_scope()))?;
    let answer = request
        .service()
        .key_list(&request.context, filters.at(now), params.page)
        .await?;
    page(answer, &params, |key| KeyView::new(key, now))
}

pub const KEY_READ: Operation = Operation {
    detail: "Admin keys read any key. A partner key reads itself.",
    errors: &[ErrorCode::NotPermitted],
    ..Operation::new(
        "getPartnerKey",
        Tag::PartnerKeys,
        "Read a partner key",
        &[Success::new(
            200,
            "The key, without its secret.",
            Content::json::<KeyView>(),
        )],
    )
};

pub async fn read(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let answer = request
        .service()
        .key_read(&request.context, request.id()?)
        .await?;
    json(answer, |key| KeyView::new(key, request.context.request.at))
}

pub const KEY_UPDATE: Operation = Operation {
    detail: "A change that restricts the key takes effect with the next request. `disabled` disables the key \
             and enables it again.",
    body: Some(Body::of::<PartnerKeyChanges>()),
    errors: &[ErrorCode::KeyStateConflict],
    ..Operation::new(
        "updatePartnerKey",
        Tag::PartnerKeys,
        "Change a partner key",
        &[Success::new(
            200,
            "The changed key.",
            Content::json::<KeyView>(),
        )],
    )
};

pub async fn update(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let now = request.context.request.at;
    let changes = request.json(|body| PartnerKeyChanges::from_body(body, &now))?;
    let answer = request
        .service()
        .key_update(&request.context, request.id()?, changes.into())
        .await?;
    json(answer, |key| KeyView::new(key, now))
}

pub const KEY_ROTATE: Operation = Operation {
    detail: "Gives the key another secret, which is shown only once, in `key`. The id, the scopes and the limits stay. \
             Both secrets work until the overlap is over, so that whoever uses the key can change to the new one \
             meanwhile; responses to the older one have `Deprecation` and `Sunset`. With `finish_when_idle_seconds` \
             the overlap ends early, once the new secret was used and the older one was not for that long. Admin keys \
             rotate any key. A partner key rotates itself, up to 6 times an hour, apart from its rate limit.",
    body: Some(Body::optional::<NewRotation>()),
    errors: &[ErrorCode::NotPermitted, ErrorCode::KeyStateConflict],
    ..Operation::new(
        "rotatePartnerKey",
        Tag::PartnerKeys,
        "Rotate a partner key",
        &[Success::new(
            201,
            "The key, with its new secret.",
            Content::json::<NewKeyView<'static>>(),
        )],
    )
};

pub async fn rotate(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let now = request.context.request.at;
    let asked = request.json_or_empty(|body| NewRotation::from_body(body, &()))?;
    let render = move |key: &PartnerKey, secret: &PlainKey| {
        rendered(&NewKeyView::new(key.clone(), secret, now))
    };
    let answer = request
        .service()
        .key_rotate(&request.context, request.id()?, asked.into(), render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const KEY_ROTATE_FINISH: Operation = Operation {
    detail: "Ends the older secret of a key that is being rotated, before its overlap is over. Admin keys do so for \
             any key, a partner key for itself.",
    body: Some(Body::optional::<EmptyBody>()),
    errors: &[ErrorCode::NotPermitted, ErrorCode::KeyStateConflict],
    ..Operation::new(
        "finishRotationOfPartnerKey",
        Tag::PartnerKeys,
        "Finish the rotation of a partner key",
        &[Success::new(
            200,
            "The key, which has its newest secret alone.",
            Content::json::<KeyView>(),
        )],
    )
};

pub async fn finish_rotation(
    request: AuthenticatedRequest,
) -> Result<AuditedResponse, HandlerError> {
    request.no_body()?;
    let now = request.context.request.at;
    let render = move |key: &PartnerKey| rendered(&KeyView::new(key.clone(), now));
    let answer = request
        .service()
        .key_rotate_finish(&request.context, request.id()?, render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const KEY_ROTATE_CANCEL: Operation = Operation {
    detail: "Ends the newest secret of a key that is being rotated; the older one works on as if there had been no \
             rotation. Admin keys do so for any key, a partner key for itself.",
    body: Some(Body::optional::<EmptyBody>()),
    errors: &[ErrorCode::NotPermitted, ErrorCode::KeyStateConflict],
    ..Operation::new(
        "cancelRotationOfPartnerKey",
        Tag::PartnerKeys,
        "Cancel the rotation of a partner key",
        &[Success::new(
            200,
            "The key, which has the secret from before alone.",
            Content::json::<KeyView>(),
        )],
    )
};

pub async fn cancel_rotation(
    request: AuthenticatedRequest,
) -> Result<AuditedResponse, HandlerError> {
    request.no_body()?;
    let now = request.context.request.at;
    let render = move |key: &PartnerKey| rendered(&KeyView::new(key.clone(), now));
    let answer = request
        .service()
        .key_rotate_cancel(&request.context, request.id()?, render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const KEY_REVOKE: Operation = Operation {
    detail: "Admin keys revoke any key, repeatedly without an error. A partner key revokes itself. The revocation \
             takes effect with the next request and can't be undone. The orgs created with the key stay, unless \
             its `on_revoke` is `delete`. Other instances of the server refuse the key within 2 seconds at the \
             latest, usually within a tenth of a second; with `Prefer: wait=10` the response says when each of \
             them did. The body is optional and says why.",
    query: &[Params::PREFER_RECEIPT],
    body: Some(Body::optional::<KeyRevocation>()),
    errors: &[ErrorCode::NotPermitted],
    ..Operation::new(
        "revokePartnerKey",
        Tag::PartnerKeys,
        "Revoke a partner key",
        &[
            Success::new(
                200,
                "The key is revoked, and `Prefer` asked for a receipt.",
                Content::json::<RevocationReceiptView>(),
            )
            .headers(&[Header::PreferenceApplied]),
            Success::empty(204, "The key is revoked."),
        ],
    )
};

pub async fn revoke(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let reason = request.json(KeyRevocation::read)?;
    if let Some(wait) = request.preferred_wait() {
        let longest = Duration::from_secs(MAX_RECEIPT_WAIT.into());
        return revoke_with_receipt(&request, reason, wait.min(longest)).await;
    }
    let answer = request
        .service()
        .key_revoke(&request.context, request.id()?, reason)
        .await?;
    Ok(AuditedResponse::empty(&answer))
}

async fn revoke_with_receipt(
    request: &AuthenticatedRequest,
    reason: RevocationReason,
    wait: Duration,
) -> Result<AuditedResponse, HandlerError> {
    let client_end = request.client_end();
    let (answer, is_held) = request
        .service()
        .key_revoke_with_receipt(&request.context, (request.id()?, reason), wait, client_end)
        .await?;
    let response = json(answer, receipt_view)?;
    Ok(if is_held {
        response.header(PREFERENCE_APPLIED, format!("wait={}", wait.as_secs()))
    } else {
        response
    })
}

fn receipt_view(revoked: RevocationReceipt) -> RevocationReceiptView {
    let RevocationReceipt {
        revoked_at,
        receipt,
    } = revoked;
    let confirmed = receipt.confirmed.into_iter();
    let unconfirmed = receipt.unconfirmed.into_iter();
    RevocationReceiptView {
        revoked_at: Time(revoked_at),
        confirmed: confirmed
            .map(|(instance, after_ms)| ConfirmationView { instance, after_ms })
            .collect(),
        unconfirmed: unconfirmed
            .map(|missing| MissingConfirmationView {
                instance: missing.instance,
                last_seen_at: Time(missing.last_seen_at),
            })
            .collect(),
    }
}
