//! The plans that orgs can have.

use ids::{Page, PageRequest, Ulid};
use orgs::Plan;
use ratelimit::Limiter;
use stores::Database;

use crate::{Audited, Caller, Context, Rejection, Service, audited::Auditable};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Lists the plans that the caller may create orgs of, in the operator's order.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn plan_list(
        &self,
        context: &Context,
        page: PageRequest,
    ) -> Result<Audited<Page<Plan>>, Rejection> {
        let is_visible = |plan: &Plan| match &context.caller {
            Caller::Partner(held) => held.key.allows_org_plan(&plan.id),
            Caller::Admin(_) => true,
        };
        // A page ends at a place in the catalogue, as the pages of other lists end at an id.
        let places = (0_u128..).map(Ulid::from);
        let rest = places
            .zip(self.settings.plans.iter())
            .filter(|(place, plan)| {
                page.after.is_none_or(|after| *place > after) && is_visible(plan)
            });
        let found = rest.take(page.limit.saturating_add(1)).collect();
        let page = Page::cut(found, page.limit, None, |(place, _)| *place);
        let plans = page.map(|(_, plan): (Ulid, &Plan)| plan.clone());
        self.audited_value(context, Auditable::new(200, plans))
            .await
    }
}
