//! What a client receives and sends, made by the derives from the structs that the server reads and writes:
//! no field is described twice.
//!
//! Text stands where the server has a rule, and [`Word`] where it has an enum, so that a client goes on with a
//! newer server. Members that this version does not know are left out.

pub use crate::{
    billing::{
        billing_view_client::Billing,
        nested_billing_client::NewBillingOfSubscription as NewBilling,
        new_subscription_client::NewSubscription, subscription_view_client::Subscription,
    },
    event::{
        actor_view_client::Actor, event_filters_client::EventFilters,
        event_view_client::AuditEvent, target_view_client::Target,
    },
    instance::{
        confirmation_view_client::Confirmation, instance_view_client::Instance,
        missing_confirmation_view_client::MissingConfirmation,
        revocation_receipt_view_client::RevocationReceipt,
    },
    key::{
        key_filters_client::KeyFilters,
        key_revocation_client::KeyRevocation,
        key_view_client::PartnerKey,
        new_key_view_client::IssuedPartnerKey,
        new_partner_key_client::NewPartnerKey,
        partner_key_changes_client::PartnerKeyChanges,
        rotation::{new_rotation_client::Rotation as NewRotation, secret_view_client::KeySecret},
    },
    leak::leak_report_client::LeakReport,
    list::ListView as Page,
    org::{
        deletion::{
            deleted_org_view_client::DeletedOrg, deleted_orgs_view_client::DeletedOrgs,
            deletion_query_client::DeletionQuery,
        },
        failure_view_client::Failure,
        filter::org_filters_client::OrgFilters,
        new_org_client::NewOrg,
        org_patch_client::OrgPatch as OrgChanges,
        org_view_client::Org,
        renewal_client::Renewal,
        secrets::secrets_view_client::OrgSecrets,
        status::{status_view_client::OrgState, step_view_client::Step},
    },
    partner::{
        new_partner_client::NewPartner, new_rate_limit_client::NewRateLimit,
        partner_changes_client::PartnerChanges, partner_view_client::Partner,
        rate_limit_view_client::RateLimit,
    },
    plan::plan_view_client::Plan,
    problem::problem_client::Problem,
    secret::Secret,
    time::Time,
    token::{token_error_view_client::TokenError, token_view_client::ExchangedToken},
    trust_rule::{
        new_trust_rule_client::NewTrustRule, trust_rule_changes_client::TrustRuleChanges,
        trust_rule_filters_client::TrustRuleFilters, trust_rule_view_client::TrustRule,
    },
    webhook::{
        answer_view_client::DeliveryAnswer, delivery_view_client::WebhookDelivery,
        endpoint_view_client::WebhookEndpoint, new_endpoint_view_client::IssuedWebhookEndpoint,
        new_webhook_endpoint_client::NewWebhookEndpoint, redelivery_client::Redelivery,
        redelivery_view_client::RedeliveryCount,
        webhook_endpoint_changes_client::WebhookEndpointChanges,
    },
    whoami::{
        credential_view_client::Credential, limit_view_client::Limit, whoami_view_client::Whoami,
    },
    wire::{FieldErrorReceived as FieldError, Word, Words},
    workspace::{new_workspace_client::NewWorkspace, workspace_view_client::Workspace},
};
