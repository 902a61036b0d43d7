//! `/cp/audit-events` and `/cp/admin/audit-events`.

use api::{EventView, ListParams, event_filter};

use super::{json, page};
use crate::http::{Failure, Http, Reply};

pub async fn list(http: Http) -> Result<Reply, Failure> {
    let visibility = http.service().audit_visibility(&http.context);
    let mut query = http.query()?;
    let filter = event_filter(&mut query, visibility)?;
    let params = ListParams::finish(query, &format!("events in {visibility:?}"))?;
    let answer = http
        .service()
        .audit_list(&http.context, filter, params.page)
        .await?;
    page(answer, &params, EventView::from)
}

pub async fn read(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    let answer = http.service().audit_read(&http.context, http.id()?).await?;
    json(answer, EventView::from)
}
