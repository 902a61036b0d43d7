//! `/cp/orgs/{id}/secrets` and `/cp/orgs/{id}/rotate-secrets`.

use api::{
    EmptyBody, ErrorCode, OrgView, SecretsView,
    openapi::{Body, Content, Operation, Success, Tag},
};

use super::orgs::org_view;
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError};

pub const ORG_SECRETS_READ: Operation = Operation {
    detail: "What the provisioner of the org has handed back and only you may see, such as passwords. An org that \
             has none, since it is not ready yet, is deleted or needs none, has an empty object. Responses are not \
             to be cached, and each reading is in the audit log.",
    errors: &[ErrorCode::OrgStateConflict],
    ..Operation::new(
        "getOrgSecrets",
        Tag::Orgs,
        "Read the secrets of an org",
        &[Success::new(
            200,
            "The secrets of the org.",
            Content::json::<SecretsView>(),
        )],
    )
};

pub async fn read(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let answer = request
        .service()
        .org_secrets_read(&request.context, request.id()?)
        .await?;
    let body = serde_json::to_vec(&SecretsView::new(
        answer.value.org,
        &answer.value.secrets,
        answer.value.updated_at,
    ))?;
    Ok(AuditedResponse::serialized(&answer, body))
}

pub const ORG_SECRETS_ROTATE: Operation = Operation {
    detail: "The response comes at once, with the status `updating`, in which the org can be used as before. The \
             old secrets can be read until the new ones are there; then the status is `ready` again, and the step \
             `rotate` has succeeded. When it fails, the old secrets stay, and `failure` says why.",
    body: Some(Body::optional::<EmptyBody>()),
    errors: &[ErrorCode::OrgPlanNotAllowed, ErrorCode::OrgStateConflict],
    ..Operation::new(
        "rotateOrgSecrets",
        Tag::Orgs,
        "Replace the secrets of an org",
        &[Success::new(
            202,
            "The org, whose secrets are being replaced.",
            Content::json::<OrgView>(),
        )
        .example(&[("status", Some("updating"))])],
    )
};

pub async fn rotate(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_body()?;
    let answer = request
        .service()
        .org_secrets_rotate(&request.context, request.id()?, org_view(&request))
        .await?;
    Ok(AuditedResponse::rendered(answer))
}
