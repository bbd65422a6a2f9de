//! The description of the API: OpenAPI 3.1, made of the handlers' types.

use serde_json::Value;

use crate::extract::Json;
use crate::router::openapi;

pub(super) async fn get() -> Json<&'static Value> {
    Json(openapi())
}
