//! Request tokens: who a caller is, which tenants it may name, and what it may do (`docs/security.md`).
//!
//! One layer in front of every route of a port, so that no protocol and no handler can forget it. What it lets through has a tenant header
//! that the token allows and no `Authorization` header any more: nothing behind it can print a token. Which path wants which right is
//! handed in; this module knows no path.

mod credentials;
mod tokens;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::middleware::Next;
use axum::response::IntoResponse as _;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use prometheus::{IntCounterVec, Opts, Registry};

use crate::content_type::{ContentType, Protocol};
use crate::service::refuse;
use crate::{HttpError, TENANT_HEADER, Tenancy, connect};

pub use tokens::{Drawn, Right, Rights, TenantScope, TokenGrant, Tokens, TokensError, draw};

/// What a path wants of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: probes and scrapers.
    Open,
    /// Any valid token.
    AnyToken,
    /// A token with this right.
    Needs(Right),
}

/// Lets only those in whom the tokens allow. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    tokens: Arc<Tokens>,
    access: fn(&str) -> Access,
    refused: IntCounterVec,
}

impl Guard {
    /// `access` says what each path wants; it should want the most of paths that it does not know.
    ///
    /// # Errors
    /// If its metric is registered already.
    pub fn new(
        tokens: Arc<Tokens>,
        access: fn(&str) -> Access,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let opts = Opts::new("flamelake_auth_refused_total", "Requests without the token or the right that they need.");
        let refused = IntCounterVec::new(opts, &["reason"])?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Self { tokens, access, refused })
    }

    /// The tenant header that the request goes on with.
    fn admit(&self, tenancy: Tenancy, path: &str, headers: &HeaderMap) -> Result<Option<HeaderValue>, StatusError> {
        let wants = (self.access)(path);
        if wants == Access::Open {
            return Ok(headers.get(TENANT_HEADER).cloned());
        }
        let token = credentials::token(headers)?;
        let grant = self.tokens.find(&token).ok_or_else(|| unauthenticated("the token is not known here"))?;
        if let Access::Needs(right) = wants
            && !grant.rights.has(right)
        {
            return Err(denied(format!("this token lacks the right {}", right.name())));
        }
        match tenancy {
            Tenancy::Single => only_tenant(&grant, wants),
            Tenancy::Multi => tenant_header(&grant, headers),
        }
    }
}

/// Without tenants everything belongs to one, whom the token must name.
fn only_tenant(grant: &TokenGrant, wants: Access) -> Result<Option<HeaderValue>, StatusError> {
    let about_data = matches!(wants, Access::Needs(Right::Push | Right::Query));
    if about_data && !grant.tenants.allows(&TenantId::anonymous()) {
        return Err(denied(
            "this token is for other tenants than anonymous, the only one while auth.multitenancy-enabled is off"
                .to_owned(),
        ));
    }
    Ok(None)
}

/// What the request names, if the token allows it; else the only tenant of the token.
fn tenant_header(grant: &TokenGrant, headers: &HeaderMap) -> Result<Option<HeaderValue>, StatusError> {
    let text = match headers.get(TENANT_HEADER).filter(|value| !value.is_empty()) {
        None => grant.tenants.only().map(|tenant| tenant.as_str().to_owned()),
        Some(_) => {
            let named = Tenancy::Multi.tenants(headers)?;
            if let Some(other) = named.iter().find(|tenant| !grant.tenants.allows(tenant)) {
                return Err(denied(format!("this token does not allow the tenant {other} of X-Scope-OrgID")));
            }
            Some(named.iter().map(TenantId::as_str).collect::<Vec<_>>().join("|"))
        }
    };
    let value = text.as_deref().map(HeaderValue::from_str).transpose();
    value.map_err(|_| StatusError::internal("a tenant id does not fit into a header"))
}

fn unauthenticated(message: &str) -> StatusError {
    StatusError::new(ErrorCode::Unauthenticated, message)
}

fn denied(message: String) -> StatusError {
    StatusError::new(ErrorCode::PermissionDenied, message)
}

/// The layer.
pub(crate) async fn check(
    State((guard, tenancy)): State<(Guard, Tenancy)>,
    mut request: Request<Body>,
    next: Next,
) -> Response<Body> {
    match guard.admit(tenancy, request.uri().path(), request.headers()) {
        Ok(tenants) => {
            let headers = request.headers_mut();
            headers.remove(header::AUTHORIZATION);
            headers.remove(TENANT_HEADER);
            if let Some(tenants) = tenants {
                headers.insert(TENANT_HEADER, tenants);
            }
            next.run(request).await
        }
        Err(error) => {
            guard.refused.with_label_values(&[error.code.name()]).inc();
            let response = answer(error, request.headers());
            refuse(request, response).await
        }
    }
}

/// In the shape of the request's protocol: Connect and plain routes word errors alike.
fn answer(error: StatusError, headers: &HeaderMap) -> Response<Body> {
    let code = error.code;
    let mut response = match ContentType::parse(headers).map(|content_type| content_type.protocol) {
        Some(Protocol::Grpc | Protocol::GrpcWeb) => connect::error_response(&error, headers),
        Some(Protocol::Connect) | None => HttpError::from(error).into_response(),
    };
    if code == ErrorCode::Unauthenticated {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge(headers));
    }
    response.extensions_mut().insert(code);
    response
}

/// By `Basic` a browser asks its user in a window of its own; scripts, such as our page, ask for the token themselves and say who they are.
fn challenge(headers: &HeaderMap) -> HeaderValue {
    match headers.contains_key("x-requested-with") {
        true => HeaderValue::from_static("Bearer realm=\"flamelake\""),
        false => HeaderValue::from_static("Basic realm=\"flamelake\""),
    }
}

#[cfg(test)]
mod tests;
