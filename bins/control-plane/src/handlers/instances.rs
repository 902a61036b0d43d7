//! `/cp/admin/instances`.

use api::{
    InstanceView,
    openapi::{Content, Operation, Success, Tag},
};

use super::page;
use crate::http::{AuditedResponse, AuthenticatedRequest, HandlerError};

pub const INSTANCE_LIST: Operation = Operation {
    detail: "The processes that serve this API from one database. An instance reports every second, and leaves \
             the list when it stops, or 5 seconds after its last report.",
    ..Operation::new(
        "listInstances",
        Tag::Operations,
        "List the live instances",
        &[Success::new(
            200,
            "A page of instances.",
            Content::list::<InstanceView>(),
        )],
    )
};

pub async fn list(request: AuthenticatedRequest) -> Result<AuditedResponse, HandlerError> {
    let ((), params) = request.list("instances")?;
    let answer = request
        .service()
        .instance_list(&request.context, params.page)
        .await?;
    page(answer, &params, InstanceView::from)
}
