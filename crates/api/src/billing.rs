//! The billing state of orgs.

use api_macros::{Request, Response};
use ids::{OrgId, PlanName};
use orgs::{BillingDraft, Org, Subscription, SubscriptionStatus};
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::{OneOfBuilder, Ref};

use crate::{
    Request, Time,
    wire::{AnySchema, ClientType, Components, Object, RequestBody, WireType},
};

/// The subscription of an org.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Subscription")]
struct SubscriptionView {
    /// Whether the org is paid for.
    #[api(as = SubscriptionStatus, example = "active")]
    status: &'static str,
    /// The start of the paid period.
    current_period_start: Time,
    /// The end of the paid period; later than its start.
    #[api(example = "2026-05-23T08:00:00.000000Z")]
    current_period_end: Time,
    /// The time at which the subscription ends; `null` if it renews.
    cancel_at: Option<Time>,
}

/// The billing state of an org.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "Billing")]
pub struct BillingView {
    /// The id of the org.
    org_id: OrgId,
    /// The plan of the org, one of those that the operator offers.
    plan: PlanName,
    /// The subscription of the org.
    subscription: SubscriptionView,
}

impl BillingView {
    /// The billing state of an org.
    #[must_use]
    pub fn new(org: Org, subscription: &Subscription) -> Self {
        Self {
            org_id: org.id,
            plan: org.plan,
            subscription: SubscriptionView {
                status: subscription.status.as_str(),
                current_period_start: Time(subscription.current_period_start),
                current_period_end: Time(subscription.current_period_end),
                cancel_at: subscription.cancel_at.map(Time),
            },
        }
    }
}

/// A new subscription.
#[derive(Request)]
#[api(like = SubscriptionView)]
struct NewSubscription {
    #[api(example = "past_due")]
    status: SubscriptionStatus,
    current_period_start: Option<Time>,
    current_period_end: Option<Time>,
    #[api(example = "2026-06-30T00:00:00Z")]
    cancel_at: Option<Time>,
}

/// The subscription in an object of its own.
#[derive(Request)]
#[api(name = "NewBillingOfSubscription", like = BillingView)]
struct NestedBilling {
    #[api(example = "standard")]
    plan: Option<PlanName>,
    subscription: NewSubscription,
}

/// The fields of the subscription beside `plan`.
#[derive(Request)]
#[api(name = "NewBillingFlat", like = BillingView)]
struct FlatBilling {
    plan: Option<PlanName>,
    #[api(flatten)]
    subscription: NewSubscription,
}

/// A new billing state, in either of two forms: `{"subscription": {…}, "plan": …}`, or the fields of the
/// subscription beside `plan`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingRequest {
    /// What is asked for.
    pub draft: BillingDraft,
    /// Where the fields of the subscription are in the body, as a JSON pointer.
    pub at: &'static str,
}

impl BillingRequest {
    fn new(asked: NewSubscription, plan: Option<PlanName>, at: &'static str) -> Self {
        let draft = BillingDraft {
            status: asked.status,
            current_period_start: asked.current_period_start.map(|time| time.0),
            current_period_end: asked.current_period_end.map(|time| time.0),
            cancel_at: asked.cancel_at.map(|time| time.0),
            plan,
        };
        Self { draft, at }
    }
}

impl RequestBody for BillingRequest {
    fn name() -> String {
        "NewBilling".to_owned()
    }
}

/// A client sends the first form.
impl ClientType for BillingRequest {
    type As = nested_billing_client::NewBillingOfSubscription;
}

impl<C> Request<C> for BillingRequest {
    fn read(object: &mut Object, context: &C) -> Option<Self> {
        if object.has("subscription") {
            let asked = NestedBilling::read(object, context)?;
            Some(Self::new(asked.subscription, asked.plan, "/subscription"))
        } else {
            let asked = FlatBilling::read(object, context)?;
            Some(Self::new(asked.subscription, asked.plan, ""))
        }
    }
}

impl WireType for BillingRequest {
    fn schema(components: &mut Components) -> AnySchema {
        let forms = OneOfBuilder::new()
            .description(Some("A new billing state."))
            .item(NestedBilling::schema(components))
            .item(FlatBilling::schema(components));
        components.insert(Self::name(), forms.into());
        Ref::from_schema_name(Self::name()).into()
    }

    fn example() -> Value {
        NestedBilling::example()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{pointers, read};

    #[track_caller]
    fn billing(body: &str, expect: &[&str]) {
        assert_eq!(pointers(read::<BillingRequest>(body)), expect, "{body}");
    }

    #[test]
    fn a_subscription_is_taken_in_both_forms() {
        let wrapped = r#"{"subscription": {"status": "past_due"}, "plan": "free"}"#;
        let flat = r#"{"status": "past_due", "plan": "free"}"#;
        let wrapped = read::<BillingRequest>(wrapped).unwrap();
        let flat = read::<BillingRequest>(flat).unwrap();
        assert_eq!(wrapped.draft, flat.draft);
        assert_eq!((wrapped.at, flat.at), ("/subscription", ""));
        billing(
            r#"{"subscription": {"status": "gone", "x": 1}}"#,
            &["/subscription/status", "/subscription/x"],
        );
        billing("{}", &["/status"]);
    }
}
