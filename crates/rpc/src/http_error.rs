//! Errors of plain HTTP routes: a status and `{"code","message"}` (contract `wire.md` 8.3, last paragraph).

use axum::response::{IntoResponse, Response};
use flamelake_model::{ErrorCode, StatusError};
use http::{StatusCode, header};

use crate::code;

/// An error as a plain HTTP route answers it; `?` turns a [`StatusError`] into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What the body says.
    pub error: StatusError,
}

impl HttpError {
    /// For routes that pick a status first; the code follows from it.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, error: StatusError::new(code::from_http_status(status), message) }
    }
}

impl From<StatusError> for HttpError {
    fn from(error: StatusError) -> Self {
        Self { status: code::http_status(error.code), error }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        #[derive(serde::Serialize)]
        struct Body<'a> {
            code: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            message: &'a str,
        }
        let body = Body { code: self.error.code.name(), message: &self.error.message };
        let text = serde_json::to_string(&body).unwrap_or_else(|_| format!(r#"{{"code":"{}"}}"#, ErrorCode::Internal));
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], text).into_response();
        response.extensions_mut().insert(self.error.code);
        response
    }
}
