//! `/cp/whoami`.

use api::{
    CredentialView, LimitView, PartnerView, QuotaView, Time, WhoamiView,
    openapi::{Content, Operation, Success, Tag},
};
use service::Caller;

use super::json;
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError};

pub const WHOAMI: Operation = Operation {
    detail: "The kind of the credential, its scopes and partner, what remains of its rate limits, and how many orgs \
             it may have. An admin key has a role, but no scopes and no partner.",
    ..Operation::new(
        "whoami",
        Tag::Credential,
        "Read the credential of the caller",
        &[Success::new(
            200,
            "The credential.",
            Content::json::<WhoamiView>(),
        )],
    )
};

pub async fn read(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    request.no_query()?;
    let limits = request
        .context
        .limits
        .iter()
        .map(|(name, decision)| LimitView {
            name: name.as_str(),
            limit: decision.limit.limit().get(),
            window_seconds: decision.limit.window_seconds().get(),
            remaining: decision.remaining,
        });
    let limits = limits.collect();
    json(
        request.service().whoami(&request.context).await?,
        |(caller, quotas)| {
            let (credential, partner) = view(caller);
            let quotas = quotas.into_iter().map(|quota| QuotaView {
                name: quota.name,
                limit: quota.limit,
                used: quota.used,
            });
            WhoamiView {
                credential,
                partner,
                limits,
                quotas: quotas.collect(),
            }
        },
    )
}

fn view(caller: Caller) -> (CredentialView, Option<PartnerView>) {
    match caller {
        Caller::Admin(key) => {
            let credential = CredentialView {
                kind: "admin",
                id: key.id.to_string(),
                name: key.name.to_string(),
                role: Some(key.role.as_str()),
                scopes: None,
                org_id: None,
                org_plans: None,
                max_live_orgs: None,
                allowed_cidrs: key
                    .allowed_cidrs
                    .as_ref()
                    .map(|networks| networks.iter().collect()),
                expires_at: key.expires_at.map(Time),
            };
            (credential, None)
        }
        Caller::Partner(held) => {
            let credential = CredentialView {
                kind: "partner_key",
                id: held.key.id.to_string(),
                name: held.key.name.to_string(),
                role: None,
                scopes: Some(held.key.scopes),
                org_id: held.key.org_id,
                org_plans: held.key.org_plans.clone(),
                max_live_orgs: held.key.max_live_orgs,
                allowed_cidrs: held
                    .key
                    .allowed_cidrs
                    .as_ref()
                    .map(|networks| networks.iter().collect()),
                expires_at: held.key.expires_at.map(Time),
            };
            (credential, Some(held.partner.clone().into()))
        }
    }
}
