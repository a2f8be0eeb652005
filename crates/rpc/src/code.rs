//! How an [`ErrorCode`] looks on the wire: the one place where codes meet HTTP, gRPC and Connect (contract `wire.md` 8.3).

use flamelake_model::{ErrorCode, StatusError};
use http::StatusCode;

/// The HTTP status of a code, by Connect's current table.
pub fn http_status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::InvalidArgument | ErrorCode::FailedPrecondition | ErrorCode::OutOfRange => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::PermissionDenied => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::AlreadyExists | ErrorCode::Aborted => StatusCode::CONFLICT,
        ErrorCode::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Canceled => StatusCode::from_u16(499).expect("499 is a valid status number"),
        ErrorCode::Unknown | ErrorCode::Internal | ErrorCode::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The code of a plain HTTP status: routes that pick a status first name their code by it.
pub fn from_http_status(status: StatusCode) -> ErrorCode {
    match status.as_u16() {
        400 | 413 => ErrorCode::InvalidArgument,
        401 => ErrorCode::Unauthenticated,
        403 => ErrorCode::PermissionDenied,
        404 => ErrorCode::Unimplemented,
        412 => ErrorCode::FailedPrecondition,
        429 | 431 => ErrorCode::ResourceExhausted,
        499 => ErrorCode::Canceled,
        502 | 503 => ErrorCode::Unavailable,
        504 => ErrorCode::DeadlineExceeded,
        _ => ErrorCode::Unknown,
    }
}

/// The gRPC code; numbers are the same by definition of [`ErrorCode`].
pub fn grpc_code(code: ErrorCode) -> tonic::Code {
    tonic::Code::from_i32(i32::from(code as u8))
}

/// A code by its gRPC number; `None` for 0 (`ok`) and numbers that do not exist.
pub fn from_grpc_number(number: u8) -> Option<ErrorCode> {
    Some(match number {
        1 => ErrorCode::Canceled,
        2 => ErrorCode::Unknown,
        3 => ErrorCode::InvalidArgument,
        4 => ErrorCode::DeadlineExceeded,
        5 => ErrorCode::NotFound,
        6 => ErrorCode::AlreadyExists,
        7 => ErrorCode::PermissionDenied,
        8 => ErrorCode::ResourceExhausted,
        9 => ErrorCode::FailedPrecondition,
        10 => ErrorCode::Aborted,
        11 => ErrorCode::OutOfRange,
        12 => ErrorCode::Unimplemented,
        13 => ErrorCode::Internal,
        14 => ErrorCode::Unavailable,
        15 => ErrorCode::DataLoss,
        16 => ErrorCode::Unauthenticated,
        _ => return None,
    })
}

/// An error as a tonic handler returns it.
pub fn to_grpc_status(error: &StatusError) -> tonic::Status {
    tonic::Status::new(grpc_code(error.code), error.message.clone())
}

/// An error as a tonic client saw it; `ok` that is no error becomes `unknown`.
pub fn from_grpc_status(status: &tonic::Status) -> StatusError {
    let number = u8::try_from(i32::from(status.code())).unwrap_or_default();
    StatusError::new(from_grpc_number(number).unwrap_or(ErrorCode::Unknown), status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_statuses_follow_the_contract() {
        let table = [
            (1, "canceled", 499),
            (2, "unknown", 500),
            (3, "invalid_argument", 400),
            (4, "deadline_exceeded", 504),
            (5, "not_found", 404),
            (6, "already_exists", 409),
            (7, "permission_denied", 403),
            (8, "resource_exhausted", 429),
            (9, "failed_precondition", 400),
            (10, "aborted", 409),
            (11, "out_of_range", 400),
            (12, "unimplemented", 501),
            (13, "internal", 500),
            (14, "unavailable", 503),
            (15, "data_loss", 500),
            (16, "unauthenticated", 401),
        ];
        for (number, name, status) in table {
            let code = from_grpc_number(number).unwrap();
            assert_eq!((code.name(), http_status(code).as_u16(), grpc_code(code) as u8), (name, status, number));
        }
        assert_eq!(from_grpc_number(0), None);
        assert_eq!(from_grpc_number(17), None);
    }
}
