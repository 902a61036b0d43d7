//! `/cp/orgs` and `/cp/admin/orgs`.

use std::{sync::Arc, time::Duration};

use actix_web::http::header::RETRY_AFTER;
use api::{
    DeletedOrgsView, DeletionQuery, EmptyBody, ErrorCode, NewOrg, OrgFilters, OrgPatch, OrgView,
    Renewal, Request as _, StatusView,
    openapi::{Body, Content, Header, Operation, Params, Success, Tag},
};
use ids::OrgId;
use orgs::{Org, OrgsDeletion};
use service::{Audited, OrgWithSteps, Rejection, Rendered};

use super::{json, page, rendered};
use crate::http::{
    AuditedResponse, AuthenticatedRequest, HandlerError, PREFERENCE_APPLIED, retry_after,
};

pub const ORG_CREATE: Operation = Operation {
    detail: "The response comes at once, with the status `provisioning`. Poll the status of the org until it is \
             `ready`. A slug has no `--` and is not reserved. The operator chooses the plans, by default `free`, \
             `standard` and `enterprise`. With `ttl_seconds` the org has a lease, and is deleted when the lease \
             expires.",
    body: Some(Body::of::<NewOrg>()),
    errors: &[
        ErrorCode::OrgPlanNotAllowed,
        ErrorCode::SlugTaken,
        ErrorCode::OrgQuotaExceeded,
    ],
    ..Operation::new(
        "createOrg",
        Tag::Orgs,
        "Create an org",
        &[Success::new(
            201,
            "The new org, which is being created.",
            Content::json::<OrgView>(),
        )
        .headers(&[Header::Location])
        .example(&[("status", Some("provisioning")), ("ready_at", None)])],
    )
};

pub async fn create(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let asked = request.json(|body| NewOrg::from_body(body, &()))?;
    let view = org_view(&request);
    let render = move |org: &Org| Rendered {
        location: Some(format!("/cp/orgs/{}", org.id)),
        ..view(org)
    };
    let answer = request
        .service()
        .org_create(&request.context, asked.into(), render)
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const ORG_LIST: Operation = Operation {
    detail: "Deleted orgs are left out, unless you ask for them with `status=deleted`.",
    query: &[Params::of::<OrgFilters>()],
    ..Operation::new(
        "listOrgs",
        Tag::Orgs,
        "List the orgs of the partner",
        ORG_PAGE,
    )
};

pub const ADMIN_ORG_LIST: Operation = Operation {
    query: &[Params::of::<OrgFilters>()],
    detail: ORG_LIST.detail,
    ..Operation::new(
        "listAllOrgs",
        Tag::AdminOrgs,
        "List the orgs of all partners",
        ORG_PAGE,
    )
};

const ORG_PAGE: &[Success] = &[Success::new(
    200,
    "A page of orgs.",
    Content::list::<OrgView>(),
)];

pub async fn list(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let caller = &request.context.caller;
    let (filters, params) =
        request.list::<OrgFilters>(&format!("orgs in {}", caller.cursor_scope()))?;
    let answer = request
        .service()
        .org_list(&request.context, filters.into(), params.page)
        .await?;
    page(answer, &params, |org| {
        OrgView::new(org, request.login_url())
    })
}

pub const ORG_READ: Operation = Operation {
    detail: "A key with only the scope `orgs:create` reads the orgs created with it. A deleted org can still be \
             read.",
    ..Operation::new("getOrg", Tag::Orgs, "Read an org", ORG)
};

pub const ADMIN_ORG_READ: Operation = Operation::new(
    "getAnyOrg",
    Tag::AdminOrgs,
    "Read an org of any partner",
    ORG,
);

const ORG: &[Success] = &[Success::new(200, "The org.", Content::json::<OrgView>())];

pub async fn read(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    org(
        &request,
        request
            .service()
            .org_read(&request.context, request.id()?)
            .await?,
    )
}

pub const ORG_STATUS: Operation = Operation {
    detail: "While work is pending, the response has `Retry-After`, estimated from the last orgs of the same plan. \
             With `Prefer: wait=30` the response is held until the status changes, so that you need not poll. \
             Once the org is `ready`, send its customer to `login_url`.",
    query: &[Params::PREFER],
    ..Operation::new(
        "getOrgStatus",
        Tag::Orgs,
        "Poll the status of an org",
        &[
            Success::new(200, "The status of the org.", Content::json::<StatusView>())
                .headers(&[Header::RetryAfter, Header::PreferenceApplied]),
        ],
    )
};

pub async fn status(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let (service, id) = (request.service(), request.id()?);
    let mut wait = request.preferred_wait();
    // A call that is held is to be small, so the ways that it does not take have boxes of their own.
    let answer = match wait {
        Some(asked) => {
            let (answer, is_heeded) = awaited_status(&request, id, asked).await?;
            wait = wait.filter(|_| is_heeded);
            answer
        }
        None => Box::pin(service.org_status(&request.context, id)).await?,
    };
    let org = &answer.value.org;
    let pending = if org.status.is_pending() {
        Some(Box::pin(service.expected_wait(org)).await)
    } else {
        None
    };
    let body = answer.value.body(|status| {
        let view = StatusView::new(&status.org, &status.steps, request.login_url());
        // None of the wire types refuses to be written; see `rendered`.
        serde_json::to_vec(&view).unwrap_or_else(|_| b"{}".to_vec())
    });
    let mut response = AuditedResponse::serialized(&answer, body.to_vec());
    if let Some(left) = pending {
        response = response.header(RETRY_AFTER, retry_after(left.unsigned_abs()));
    }
    if let Some(wait) = wait {
        response = response.header(PREFERENCE_APPLIED, format!("wait={}", wait.as_secs()));
    }
    Ok(response)
}

/// A status poll that is held until the org stands elsewhere, or the client has closed its side. It may be
/// gone, or wait for the answer: it gets what is known now, and the call has its event. Tells also whether
/// the wish to wait was heeded.
async fn awaited_status(
    request: &AuthenticatedRequest,
    id: OrgId,
    wait: Duration,
) -> Result<(Audited<Arc<OrgWithSteps>>, bool), Rejection> {
    let (service, context) = (request.service(), &request.context);
    service
        .org_status_long_poll(context, id, wait, request.client_end())
        .await
}

pub const ORG_UPDATE: Operation = Operation {
    detail: "`name`, `external_id`, `labels` and `delete_protection` change at once. Another `plan` or other `options` take work: the \
             response is 202 with the status `updating`, and the org can be used meanwhile. Then it is `ready` \
             with the new ones, or, if the work failed, `ready` with the old ones and the failure \
             `update-failed`. Only a `ready` org can be changed so. The slug is fixed.",
    body: Some(Body::of::<OrgPatch>()),
    errors: &[ErrorCode::OrgPlanNotAllowed, ErrorCode::OrgStateConflict],
    ..Operation::new(
        "updateOrg",
        Tag::Orgs,
        "Change an org",
        &[
            Success::new(200, "The changed org.", Content::json::<OrgView>()),
            Success::new(202, "The org is being changed.", Content::json::<OrgView>())
                .example(&[("status", Some("updating"))]),
        ],
    )
};

pub async fn update(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let changes = request.json(|body| OrgPatch::from_body(body, &()))?;
    let answer = request
        .service()
        .org_update(&request.context, request.id()?, changes.into())
        .await?;
    org(&request, answer)
}

pub const ORG_DELETE: Operation = Operation {
    detail: "The response comes at once, with the status `deprovisioning`. Deleting an org again is not an error. \
             An org with `delete_protection` is not deleted.",
    errors: &[ErrorCode::OrgPlanNotAllowed, ErrorCode::OrgDeleteProtected],
    ..Operation::new(
        "deleteOrg",
        Tag::Orgs,
        "Delete an org",
        &[
            Success::new(202, "The org is being deleted.", Content::json::<OrgView>())
                .example(&[("status", Some("deprovisioning"))]),
            Success::empty(204, "The org is already deleted."),
        ],
    )
};

pub async fn delete(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let answer = request
        .service()
        .org_delete(&request.context, request.id()?)
        .await?;
    if answer.status == 204 {
        Ok(AuditedResponse::empty(&answer))
    } else {
        org(&request, answer)
    }
}

pub const ORGS_DELETE: Operation = Operation {
    detail: "Deletes up to 1000 orgs at once, the newest first. The response lists them, without pages. Orgs that \
             are already being deleted are not included; repeat the request until `data` is empty. With \
             `dry_run=true` nothing is deleted. If the key has `org_plans` and one of the orgs has another plan, \
             or one of them has `delete_protection`, none is deleted.",
    query: &[Params::of::<DeletionQuery>()],
    errors: &[ErrorCode::OrgPlanNotAllowed, ErrorCode::OrgDeleteProtected],
    ..Operation::new(
        "deleteOrgs",
        Tag::Orgs,
        "Delete all orgs with some labels",
        &[
            Success::new(
                200,
                "A dry run: the orgs that would be deleted.",
                Content::json::<DeletedOrgsView>(),
            ),
            Success::new(
                202,
                "The orgs that are being deleted.",
                Content::json::<DeletedOrgsView>(),
            ),
        ],
    )
};

pub async fn delete_labelled(
    request: AuthenticatedRequest,
) -> Result<AuditedResponse, HandlerError> {
    let asked = OrgsDeletion::try_from(request.query::<DeletionQuery>()?)?;
    let answer = request
        .service()
        .orgs_delete(&request.context, asked)
        .await?;
    json(answer, |orgs| DeletedOrgsView::new(&orgs))
}

pub const ORG_RENEW: Operation = Operation {
    detail: "The lease then expires `ttl_seconds` after the request, whether that is later or earlier than before. \
             Any org of the partner can be renewed, if it has a lease that has not expired and is not being \
             deleted.",
    body: Some(Body::of::<Renewal>()),
    errors: &[ErrorCode::OrgPlanNotAllowed, ErrorCode::OrgStateConflict],
    ..Operation::new(
        "renewOrg",
        Tag::Orgs,
        "Renew the lease of an org",
        &[Success::new(
            200,
            "The org with its new expiry.",
            Content::json::<OrgView>(),
        )],
    )
};

pub async fn renew(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let ttl = request
        .json(|body| Renewal::from_body(body, &()))?
        .ttl_seconds;
    let answer = request
        .service()
        .org_renew(&request.context, request.id()?, ttl, org_view(&request))
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const ORG_SUSPEND: Operation = Operation {
    detail: "Changes the status from `ready` to `suspended`.",
    ..org_move("suspendOrg", "Suspend an org")
};

pub async fn suspend(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_body()?;
    let answer = request
        .service()
        .org_suspend(&request.context, request.id()?, org_view(&request))
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const ORG_RESUME: Operation = Operation {
    detail: "Changes the status from `suspended` to `ready`.",
    ..org_move("resumeOrg", "Resume a suspended org")
};

pub async fn resume(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_body()?;
    let answer = request
        .service()
        .org_resume(&request.context, request.id()?, org_view(&request))
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

pub const ORG_RETRY: Operation = Operation {
    detail: "Changes the status from `failed` to `provisioning`.",
    ..org_move("retryOrg", "Retry a failed org")
};

pub async fn retry(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_body()?;
    let answer = request
        .service()
        .org_retry(&request.context, request.id()?, org_view(&request))
        .await?;
    Ok(AuditedResponse::rendered(answer))
}

/// An operation by which an admin changes the status of an org.
const fn org_move(id: &'static str, summary: &'static str) -> Operation {
    Operation {
        body: Some(Body::optional::<EmptyBody>()),
        errors: &[ErrorCode::OrgStateConflict],
        ..Operation::new(id, Tag::AdminOrgs, summary, CHANGED_ORG)
    }
}

const CHANGED_ORG: &[Success] = &[Success::new(
    200,
    "The org after the change.",
    Content::json::<OrgView>(),
)];

/// Writes an org's body beside the change that it tells of.
pub(super) fn org_view(request: &AuthenticatedRequest) -> impl Fn(&Org) -> Rendered + Send + use<> {
    let login_url = request.login_url().to_owned();
    move |org| rendered(&OrgView::new(org.clone(), &login_url))
}

fn org(
    request: &AuthenticatedRequest,
    answer: Audited<Org>,
) -> Result<AuditedResponse, HandlerError> {
    json(answer, |org| OrgView::new(org, request.login_url()))
}
