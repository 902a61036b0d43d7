//! What the shop does for a caller who may.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use scopes::Scope;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{Shop, guard::Caller, problem::Problem};

/// `GET /orders`, for keys with `billing:read`.
pub(crate) async fn orders_list(caller: Caller) -> Result<Json<Value>, Problem> {
    caller.require(Scope::BillingRead)?;
    Ok(Json(json!({
        "orders": [
            { "number": 1001, "item": "flask, 250 ml", "cents": 1250 },
            { "number": 1002, "item": "pipette", "cents": 480 },
        ]
    })))
}

/// `DELETE /key`: the key that calls is revoked. Whoever holds a key may end it, so no scope is asked.
pub(crate) async fn key_revoke(State(shop): State<Arc<Shop>>, caller: Caller) -> StatusCode {
    shop.keys.revoke(caller.key.id, OffsetDateTime::now_utc());
    StatusCode::NO_CONTENT
}
