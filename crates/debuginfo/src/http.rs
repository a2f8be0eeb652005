//! `POST` and `HEAD /debuginfo.v1alpha1.DebuginfoService/Upload/{gnu_build_id}`: the file itself.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flamelake_model::{ErrorCode, StatusError};
use flamelake_rpc::{HttpError, Tenancy};
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode};

use crate::Uploads;

/// Of a body that is refused, read only to be able to answer.
const DISCARDED_BYTES_MAX: usize = 16 << 20;
/// Named as in the IETF's draft of resumable uploads.
const OFFSET: &str = "upload-offset";

impl Uploads {
    /// The routes on the public port.
    pub fn http(&self, tenancy: Tenancy) -> Router {
        let route = post(receive).head(offset);
        Router::new()
            .route("/debuginfo.v1alpha1.DebuginfoService/Upload/{gnu_build_id}", route)
            .with_state((self.clone(), tenancy))
    }
}

async fn receive(
    State((uploads, tenancy)): State<(Uploads, Tenancy)>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, HttpError> {
    let tenants = tenancy.tenants(&headers)?;
    let offset = match headers.get(OFFSET) {
        None => 0,
        Some(given) => given
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| StatusError::invalid_argument("Upload-Offset is no number of bytes"))?,
    };
    let mut body = body.into_data_stream();
    let received = uploads.receive(tenants.single()?, &id, offset, &mut body).await;
    if received.is_err() {
        // A client that still sends would see a broken connection instead of the answer.
        let mut rest = DISCARDED_BYTES_MAX;
        while let (true, Some(Ok(bytes))) = (rest > 0, body.next().await) {
            rest = rest.saturating_sub(bytes.len());
        }
    }
    received.map(|()| StatusCode::OK).map_err(answer)
}

async fn offset(
    State((uploads, tenancy)): State<(Uploads, Tenancy)>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let tenants = tenancy.tenants(&headers)?;
    let bytes = uploads.offset(tenants.single()?, &id).await.map_err(answer)?;
    Ok((StatusCode::OK, [(OFFSET, bytes.to_string())]).into_response())
}

fn answer(error: StatusError) -> HttpError {
    let status = match error.code {
        ErrorCode::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
        ErrorCode::OutOfRange => StatusCode::CONFLICT,
        ErrorCode::ResourceExhausted => StatusCode::PAYLOAD_TOO_LARGE,
        _ => return error.into(),
    };
    HttpError { status, error }
}
