//! `/cp/audit-events` and `/cp/admin/audit-events`.

use api::{EventView, ListParams, event_list_request};

use super::{json, page};
use crate::http::{Failure, Http, Reply};

pub async fn list(http: Http) -> Result<Reply, Failure> {
    let caller = &http.context.caller;
    let mut query = http.query()?;
    let request = event_list_request(&mut query, caller.is_admin())?;
    let params = ListParams::finish(query, &format!("events in {}", caller.cursor_scope()))?;
    let answer = http
        .service()
        .audit_list(&http.context, request, params.page)
        .await?;
    page(answer, &params, EventView::from)
}

pub async fn read(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    let answer = http.service().audit_read(&http.context, http.id()?).await?;
    json(answer, EventView::from)
}
