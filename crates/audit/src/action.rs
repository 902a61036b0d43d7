//! What can be done, and therefore be recorded.

use std::{fmt, str::FromStr};

/// A text that is not an action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an action; /cp/docs lists them, such as org.create")]
pub struct UnknownAction(pub String);

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What was done or tried; the resource comes first in the name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $variant,)*
        }

        impl Action {
            /// All actions.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

actions! {
    /// A partner was made.
    PartnerCreate = "partner.create";
    /// Partners were listed.
    PartnerList = "partner.list";
    /// A partner was read.
    PartnerRead = "partner.read";
    /// A partner was changed.
    PartnerUpdate = "partner.update";
    /// A partner key was issued.
    KeyCreate = "key.create";
    /// Partner keys were listed.
    KeyList = "key.list";
    /// A partner key was read.
    KeyRead = "key.read";
    /// A partner key was changed.
    KeyUpdate = "key.update";
    /// A partner key was revoked.
    KeyRevoke = "key.revoke";
    /// A partner key got another secret.
    KeyRotate = "key.rotate";
    /// The older secret of a partner key was ended, by a caller or by itself.
    KeyRotateFinish = "key.rotate_finish";
    /// The newer secret of a partner key was ended.
    KeyRotateCancel = "key.rotate_cancel";
    /// The system has learned that a partner key has leaked.
    KeyLeaked = "key.leaked";
    /// An org was asked for.
    OrgCreate = "org.create";
    /// Orgs were listed.
    OrgList = "org.list";
    /// An org was read.
    OrgRead = "org.read";
    /// An org's status was polled.
    OrgStatus = "org.status";
    /// A change of an org was asked for.
    OrgUpdate = "org.update";
    /// An org's deletion was asked for.
    OrgDelete = "org.delete";
    /// An org was paused.
    OrgSuspend = "org.suspend";
    /// An org's pause was ended.
    OrgResume = "org.resume";
    /// A failed org is to be tried again.
    OrgRetry = "org.retry";
    /// The secrets of an org were read.
    OrgSecretsRead = "org.secrets.read";
    /// Other secrets for an org were asked for.
    OrgSecretsRotate = "org.secrets.rotate";
    /// The system has got other secrets for an org, or has given that up.
    OrgSecretsRotated = "org.secrets.rotated";
    /// An org's lease was prolonged.
    OrgRenew = "org.renew";
    /// The system has made an org ready.
    OrgProvisioned = "org.provisioned";
    /// The system has changed an org, or given it up.
    OrgUpdated = "org.updated";
    /// The system has given up making an org.
    OrgFailed = "org.failed";
    /// The system has begun to take an org away whose lease has run out.
    OrgExpired = "org.expired";
    /// The system has taken an org away.
    OrgDeleted = "org.deleted";
    /// The plans of orgs were listed.
    PlanList = "plan.list";
    /// A workspace was made.
    WorkspaceCreate = "workspace.create";
    /// Workspaces were listed.
    WorkspaceList = "workspace.list";
    /// The billing state of an org was read.
    BillingRead = "billing.read";
    /// The billing state of an org was changed.
    BillingUpdate = "billing.update";
    /// Audit events were listed.
    AuditList = "audit.list";
    /// An audit event was read.
    AuditRead = "audit.read";
    /// Old audit events were deleted.
    AuditPrune = "audit.prune";
    /// A webhook endpoint was made.
    WebhookCreate = "webhook.create";
    /// Webhook endpoints were listed.
    WebhookList = "webhook.list";
    /// A webhook endpoint was read.
    WebhookRead = "webhook.read";
    /// A webhook endpoint was changed.
    WebhookUpdate = "webhook.update";
    /// A webhook endpoint was deleted.
    WebhookDelete = "webhook.delete";
    /// A webhook endpoint got a new secret.
    WebhookRotate = "webhook.rotate";
    /// A test message to a webhook endpoint was asked for.
    WebhookTest = "webhook.test";
    /// The system has disabled a webhook endpoint, for its receiver is gone or nothing was delivered for long.
    WebhookDisabled = "webhook.disabled";
    /// The system has enabled a webhook endpoint, for its receiver has taken a message again.
    WebhookEnabled = "webhook.enabled";
    /// The system has given messages up, for too many waited for their webhook endpoint.
    WebhookOverflowed = "webhook.overflowed";
    /// Deliveries to a webhook endpoint were listed.
    DeliveryList = "delivery.list";
    /// A message to a webhook endpoint is to be sent again, or those that failed.
    DeliveryRedeliver = "delivery.redeliver";
    /// A credential asked what it is.
    Whoami = "credential.read";
    /// An admin key was made.
    AdminKeyCreate = "admin_key.create";
    /// An admin key was revoked.
    AdminKeyRevoke = "admin_key.revoke";
    /// The system has learned that an admin key has leaked.
    AdminKeyLeaked = "admin_key.leaked";
    /// Instances were listed.
    InstanceList = "instance.list";
    /// A trust rule was made.
    TrustRuleCreate = "trust_rule.create";
    /// Trust rules were listed.
    TrustRuleList = "trust_rule.list";
    /// A trust rule was read.
    TrustRuleRead = "trust_rule.read";
    /// A trust rule was changed.
    TrustRuleUpdate = "trust_rule.update";
    /// A trust rule was deleted.
    TrustRuleDelete = "trust_rule.delete";
    /// A pipeline asked to exchange its token for a key.
    TokenExchange = "token.exchange";
    /// The request matched no route.
    Unrouted = "request.unrouted";
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| UnknownAction(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_reads_back_as_it_was_printed() {
        for &action in Action::ALL {
            assert_eq!(action.to_string().parse(), Ok(action));
        }
    }
}
