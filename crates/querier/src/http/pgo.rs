//! `GET /api/v1/pgo/go`: the CPU profiles of a service as a `default.pgo` for `go build -pgo`.

use std::io::Write as _;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use flamelake_api::google::v1::Profile;
use flamelake_model::query::GoPgo;
use flamelake_model::selector::{MatchOp, Matcher, Selector};
use flamelake_model::{ErrorCode, StatusError, label_name};
use flamelake_rpc::HttpError;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, header};
use prost::Message as _;

use super::{Legacy, Params, answer};
use crate::check::{SampleFilterInput, StacktracesInput};
use crate::merge::off_reactor;

/// What Go's CPU profiles are stored as.
const CPU: &str = "process_cpu:cpu:nanoseconds:cpu:nanoseconds";
/// A day of a service says where it is hot.
const FROM: &str = "now-1d";
/// Frames kept from the leaf; the compiler looks at the last call only, the rest tells recursion apart.
const KEEP_LOCATIONS: u32 = 5;

pub(super) async fn go(
    State(legacy): State<Arc<Legacy>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, HttpError> {
    let (caller, params, querier) = (legacy.caller(&headers)?, Params::new(query), &legacy.querier);
    let now = querier.now().0;
    let at = |name: &str, default: &str| match params.get(name) {
        "" => super::time::parse(default, now),
        given => super::time::parse(given, now),
    };
    let given = |name: &str, default: &str| match params.get(name) {
        "" => default.to_owned(),
        given => given.to_owned(),
    };
    let input = StacktracesInput {
        profile_type: given("type", CPU),
        label_selector: selector(params.get("service"), params.get("query"))?,
        start: at("from", FROM).0,
        end: at("until", "").0,
        max_nodes: 0,
        filter: SampleFilterInput {
            go_pgo: Some(GoPgo { keep_locations: KEEP_LOCATIONS, aggregate_callees: true }),
            ..SampleFilterInput::default()
        },
    };
    let profile = querier.run(&caller, "pgo", querier.pprof(&caller, &input)).await?;
    if profile.value.sample.is_empty() {
        let why = format!("no {} profile of {} in this range", input.profile_type, input.label_selector);
        return Err(StatusError::new(ErrorCode::NotFound, why).into());
    }
    let set_aside = profile.set_aside;
    let packed = off_reactor(move || pack(&profile.value)).await??;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, r#"attachment; filename="default.pgo""#),
    ];
    Ok(answer(crate::service::Answer { value: packed, set_aside }, |packed| (headers, packed).into_response()))
}

/// Of the service, narrowed by `query`.
fn selector(service: &str, query: &str) -> Result<String, StatusError> {
    let mut matchers = match query {
        "" => Vec::new(),
        query => {
            let parsed = Selector::parse(query).map_err(|error| StatusError::invalid_argument(error.message))?;
            parsed.matchers().to_vec()
        }
    };
    if !service.is_empty() {
        matchers.push(Matcher::new(label_name::SERVICE_NAME, MatchOp::Equal, service)?);
    }
    if matchers.is_empty() {
        return Err(StatusError::invalid_argument("say which service: ?service=NAME, or query={…}"));
    }
    Ok(Selector::from_matchers(matchers).to_string())
}

fn pack(profile: &Profile) -> Result<Vec<u8>, StatusError> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed
        .write_all(&profile.encode_to_vec())
        .and_then(|()| packed.finish())
        .map_err(|error| StatusError::new(ErrorCode::Internal, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_and_query_narrow_each_other() {
        assert_eq!(selector("shop", "").unwrap(), r#"{service_name="shop"}"#);
        assert_eq!(selector("shop", r#"{version="2"}"#).unwrap(), r#"{version="2",service_name="shop"}"#);
        assert_eq!(selector("", r#"{version="2"}"#).unwrap(), r#"{version="2"}"#);
        assert_eq!(selector("", "").unwrap_err().code, ErrorCode::InvalidArgument);
        assert_eq!(selector("", "{").unwrap_err().code, ErrorCode::InvalidArgument);
    }
}
