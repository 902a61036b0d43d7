//! `/cp/orgs` and `/cp/admin/orgs`.

use std::{sync::Arc, time::Duration};

use actix_web::http::header::RETRY_AFTER;
use api::{
    DeletedOrgsView, ListParams, OrgView, StatusView, org_draft, org_list_request, orgs_deletion,
    renewal,
};
use ids::OrgId;
use orgs::Org;
use service::{Audited, OrgWithSteps, Rejection, Rendered};

use super::{json, page, rendered};
use crate::http::{Failure, Http, PREFERENCE_APPLIED, Reply, retry_after};

/// A wait that ends at once, and as any other: the credential is checked again before the answer.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

pub async fn create(http: Http) -> Result<Reply, Failure> {
    let draft = http.json(org_draft)?;
    let view = org_view(&http);
    let render = move |org: &Org| Rendered {
        location: Some(format!("/cp/orgs/{}", org.id)),
        ..view(org)
    };
    let answer = http
        .service()
        .org_create(&http.context, draft, render)
        .await?;
    Ok(Reply::rendered(answer))
}

pub async fn list(http: Http) -> Result<Reply, Failure> {
    let caller = &http.context.caller;
    let mut query = http.query()?;
    let request = org_list_request(&mut query, caller.is_admin())?;
    let params = ListParams::finish(query, &format!("orgs in {}", caller.cursor_scope()))?;
    let answer = http
        .service()
        .org_list(&http.context, request, params.page)
        .await?;
    page(answer, &params, |org| OrgView::new(org, http.login_url()))
}

pub async fn read(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    org(
        &http,
        http.service().org_read(&http.context, http.id()?).await?,
    )
}

pub async fn status(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    let (service, id) = (http.service(), http.id()?);
    let mut wait = http.preferred_wait();
    // A call that is held is to be small, so the ways that it does not take have boxes of their own.
    let answer = match wait {
        Some(asked) => {
            let (answer, is_heeded) = awaited_status(&http, id, asked).await?;
            wait = wait.filter(|_| is_heeded);
            answer
        }
        None => Box::pin(service.org_status(&http.context, id)).await?,
    };
    let org = &answer.value.org;
    let pending = if org.status.is_pending() {
        Some(Box::pin(service.expected_wait(org)).await)
    } else {
        None
    };
    let body = answer.value.body(|status| {
        let view = StatusView::new(&status.org, &status.steps, http.login_url());
        // None of the wire types refuses to be written; see `rendered`.
        serde_json::to_vec(&view).unwrap_or_else(|_| b"{}".to_vec())
    });
    let mut reply = Reply::written(&answer, body.to_vec());
    if let Some(left) = pending {
        reply = reply.header(RETRY_AFTER, retry_after(left.unsigned_abs()));
    }
    if let Some(wait) = wait {
        reply = reply.header(PREFERENCE_APPLIED, format!("wait={}", wait.as_secs()));
    }
    Ok(reply)
}

/// A status poll that is held until the org stands elsewhere, or the client has closed its side. It may be
/// gone, or wait for the answer: it gets what is known now, and the call has its event. Tells also whether
/// the wish to wait was heeded.
async fn awaited_status(
    http: &Http,
    id: OrgId,
    wait: Duration,
) -> Result<(Audited<Arc<OrgWithSteps>>, bool), Rejection> {
    let (service, context) = (http.service(), &http.context);
    tokio::select! {
        answer = service.org_status_long_poll(context, id, wait) => answer,
        () = http.client_end() => {
            Box::pin(service.org_status_long_poll(context, id, SHORTEST_WAIT)).await
        }
    }
}

pub async fn delete(http: Http) -> Result<Reply, Failure> {
    http.no_query()?;
    let answer = http.service().org_delete(&http.context, http.id()?).await?;
    if answer.status == 204 {
        Ok(Reply::empty(&answer))
    } else {
        org(&http, answer)
    }
}

pub async fn delete_labelled(http: Http) -> Result<Reply, Failure> {
    let asked = orgs_deletion(http.query()?)?;
    let answer = http.service().orgs_delete(&http.context, asked).await?;
    json(answer, |orgs| DeletedOrgsView::new(&orgs))
}

pub async fn renew(http: Http) -> Result<Reply, Failure> {
    let ttl = http.json(renewal)?;
    let answer = http
        .service()
        .org_renew(&http.context, http.id()?, ttl, org_view(&http))
        .await?;
    Ok(Reply::rendered(answer))
}

pub async fn suspend(http: Http) -> Result<Reply, Failure> {
    http.no_body()?;
    let answer = http
        .service()
        .org_suspend(&http.context, http.id()?, org_view(&http))
        .await?;
    Ok(Reply::rendered(answer))
}

pub async fn resume(http: Http) -> Result<Reply, Failure> {
    http.no_body()?;
    let answer = http
        .service()
        .org_resume(&http.context, http.id()?, org_view(&http))
        .await?;
    Ok(Reply::rendered(answer))
}

pub async fn retry(http: Http) -> Result<Reply, Failure> {
    http.no_body()?;
    let answer = http
        .service()
        .org_retry(&http.context, http.id()?, org_view(&http))
        .await?;
    Ok(Reply::rendered(answer))
}

/// Writes an org's body beside the change that it tells of.
fn org_view(http: &Http) -> impl Fn(&Org) -> Rendered + Send + use<> {
    let login_url = http.login_url().to_owned();
    move |org| rendered(&OrgView::new(org.clone(), &login_url))
}

fn org(http: &Http, answer: Audited<Org>) -> Result<Reply, Failure> {
    json(answer, |org| OrgView::new(org, http.login_url()))
}
