//! Styles, scripts and pictures: the same address always answers the same bytes.

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use crate::extract::Path;
use crate::problem::ApiError;

pub(super) async fn get(Path((hash, name)): Path<(String, String)>) -> Result<Response, ApiError> {
    let asset = subak_web::assets::get(&hash, &name)
        .ok_or_else(|| ApiError::NotFound(format!("/assets/{hash}/{name}")))?;
    let bytes = match asset.bytes {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, bytes).into_response())
}
