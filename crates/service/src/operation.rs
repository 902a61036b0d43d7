//! Operations: what can be asked for, and who may ask.

use audit::{Action, TargetKind};
use scopes::Scope;

/// Who may ask for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// An admin key.
    Admin,
    /// A partner key that has one of these scopes.
    Partner(&'static [Scope]),
    /// Any credential; the use case tells them apart.
    Any,
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name in the audit log.
    pub action: Action,
    /// What it acts on.
    pub target: TargetKind,
    /// Who may ask for an operation.
    pub access: Access,
}

const fn operation(action: Action, target: TargetKind, access: Access) -> Operation {
    Operation {
        action,
        target,
        access,
    }
}

/// All operations.
pub mod operations {
    use audit::{Action, TargetKind};
    use scopes::Scope;

    use super::{
        Access::{Admin, Any, Partner},
        Operation, operation,
    };

    /// Reading an org: any of the partner's, or with `orgs:create` alone those that the key itself created.
    const READ_ORG: &[Scope] = &[Scope::OrgsList, Scope::OrgsCreate];

    const WEBHOOKS: &[Scope] = &[Scope::WebhooksManage];

    macro_rules! table {
        ($($(#[$doc:meta])* $name:ident = $action:ident on $target:ident by $access:expr;)*) => {
            $(
                $(#[$doc])*
                pub const $name: Operation =
                    operation(Action::$action, TargetKind::$target, $access);
            )*
        };
    }

    table! {
        /// Create a partner.
        PARTNER_CREATE = PartnerCreate on Partner by Admin;
        /// List partners.
        PARTNER_LIST = PartnerList on Partner by Admin;
        /// Read a partner.
        PARTNER_READ = PartnerRead on Partner by Admin;
        /// Change a partner.
        PARTNER_UPDATE = PartnerUpdate on Partner by Admin;
        /// Issue a key.
        KEY_CREATE = KeyCreate on PartnerKey by Admin;
        /// List keys: all, or those of the caller's partner.
        KEY_LIST = KeyList on PartnerKey by Any;
        /// Read a key: any, or the caller itself.
        KEY_READ = KeyRead on PartnerKey by Any;
        /// Change a key.
        KEY_UPDATE = KeyUpdate on PartnerKey by Admin;
        /// Revoke a key: any, or the caller itself.
        KEY_REVOKE = KeyRevoke on PartnerKey by Any;
        /// Rotate a key: any, or the caller itself.
        KEY_ROTATE = KeyRotate on PartnerKey by Any;
        /// End the older secret of a key: any, or the caller itself.
        KEY_ROTATE_FINISH = KeyRotateFinish on PartnerKey by Any;
        /// End the newer secret of a key: any, or the caller itself.
        KEY_ROTATE_CANCEL = KeyRotateCancel on PartnerKey by Any;
        /// List all partners' orgs.
        ADMIN_ORG_LIST = OrgList on Org by Admin;
        /// Read any org.
        ADMIN_ORG_READ = OrgRead on Org by Admin;
        /// Set an org's billing state.
        BILLING_UPDATE = BillingUpdate on Org by Admin;
        /// Suspend an org.
        ORG_SUSPEND = OrgSuspend on Org by Admin;
        /// Resume a suspended org.
        ORG_RESUME = OrgResume on Org by Admin;
        /// Retry a failed org.
        ORG_RETRY = OrgRetry on Org by Admin;
        /// List all events.
        ADMIN_AUDIT_LIST = AuditList on AuditLog by Admin;
        /// Read any event.
        ADMIN_AUDIT_READ = AuditRead on AuditEvent by Admin;
        /// List the live instances.
        INSTANCE_LIST = InstanceList on Instance by Admin;
        /// Create a trust rule.
        TRUST_RULE_CREATE = TrustRuleCreate on TrustRule by Admin;
        /// List trust rules.
        TRUST_RULE_LIST = TrustRuleList on TrustRule by Admin;
        /// Read a trust rule.
        TRUST_RULE_READ = TrustRuleRead on TrustRule by Admin;
        /// Change a trust rule.
        TRUST_RULE_UPDATE = TrustRuleUpdate on TrustRule by Admin;
        /// Delete a trust rule.
        TRUST_RULE_DELETE = TrustRuleDelete on TrustRule by Admin;
        /// Exchange a token for a key: for pipelines, which have no credential.
        TOKEN_EXCHANGE = TokenExchange on TrustRule by Any;
        /// Create an org.
        ORG_CREATE = OrgCreate on Org by Partner(&[Scope::OrgsCreate]);
        /// List the partner's orgs.
        ORG_LIST = OrgList on Org by Partner(&[Scope::OrgsList]);
        /// Read an org.
        ORG_READ = OrgRead on Org by Partner(READ_ORG);
        /// Poll an org.
        ORG_STATUS = OrgStatus on Org by Partner(READ_ORG);
        /// Change an org.
        ORG_UPDATE = OrgUpdate on Org by Partner(&[Scope::OrgsUpdate]);
        /// Delete an org.
        ORG_DELETE = OrgDelete on Org by Partner(&[Scope::OrgsDelete]);
        /// Delete all orgs that have some labels.
        ORGS_DELETE = OrgDelete on Org by Partner(&[Scope::OrgsDelete]);
        /// Renew an org's lease.
        ORG_RENEW = OrgRenew on Org by Partner(&[Scope::OrgsCreate]);
        /// Read the secrets of an org.
        ORG_SECRETS_READ = OrgSecretsRead on Org by Partner(&[Scope::OrgsSecrets]);
        /// Replace the secrets of an org.
        ORG_SECRETS_ROTATE = OrgSecretsRotate on Org by Partner(&[Scope::OrgsSecrets]);
        /// List the plans that orgs can have.
        PLAN_LIST = PlanList on Plan by Any;
        /// Create a workspace.
        WORKSPACE_CREATE = WorkspaceCreate on Org by Partner(&[Scope::WorkspacesCreate]);
        /// List an org's workspaces.
        WORKSPACE_LIST = WorkspaceList on Org by Partner(&[Scope::OrgsList]);
        /// Read an org's billing state.
        BILLING_READ = BillingRead on Org by Partner(&[Scope::BillingRead]);
        /// List the partner's events.
        AUDIT_LIST = AuditList on AuditLog by Partner(&[Scope::AuditRead]);
        /// Read one of the partner's events.
        AUDIT_READ = AuditRead on AuditEvent by Partner(&[Scope::AuditRead]);
        /// Create a webhook endpoint.
        WEBHOOK_CREATE = WebhookCreate on WebhookEndpoint by Partner(WEBHOOKS);
        /// List the partner's webhook endpoints.
        WEBHOOK_LIST = WebhookList on WebhookEndpoint by Partner(WEBHOOKS);
        /// Read a webhook endpoint.
        WEBHOOK_READ = WebhookRead on WebhookEndpoint by Partner(WEBHOOKS);
        /// Change a webhook endpoint.
        WEBHOOK_UPDATE = WebhookUpdate on WebhookEndpoint by Partner(WEBHOOKS);
        /// Delete a webhook endpoint.
        WEBHOOK_DELETE = WebhookDelete on WebhookEndpoint by Partner(WEBHOOKS);
        /// Give a webhook endpoint a new secret.
        WEBHOOK_ROTATE = WebhookRotate on WebhookEndpoint by Partner(WEBHOOKS);
        /// Send a test message to a webhook endpoint.
        WEBHOOK_TEST = WebhookTest on WebhookEndpoint by Partner(WEBHOOKS);
        /// List the deliveries to a webhook endpoint.
        DELIVERY_LIST = DeliveryList on WebhookEndpoint by Partner(WEBHOOKS);
        /// Send a message again.
        DELIVERY_REDELIVER = DeliveryRedeliver on WebhookEndpoint by Partner(WEBHOOKS);
        /// Send failed messages again.
        DELIVERIES_REDELIVER = DeliveryRedeliver on WebhookEndpoint by Partner(WEBHOOKS);
        /// Read the caller's own credential.
        WHOAMI = Whoami on PartnerKey by Any;
        /// A request that matches no route.
        UNROUTED = Unrouted on Route by Any;
    }
}
