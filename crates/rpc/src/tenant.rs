//! Whose request it is: the tenant header, read once at the door (contract `query.md` section 1, `ingest.md` section 6).

use flamelake_model::{ErrorCode, StatusError, TenantId};
use http::{HeaderMap, HeaderName};

/// Names one tenant, or on reads several joined by `|`.
pub const TENANT_HEADER: HeaderName = HeaderName::from_static("x-scope-orgid");

/// Whether the tenant header is read at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tenancy {
    /// Every request belongs to the tenant `anonymous`; the header is ignored.
    #[default]
    Single,
    /// The header is wanted.
    Multi,
}

impl Tenancy {
    /// The tenants of a request; `unauthenticated` without a valid header.
    pub fn tenants(self, headers: &HeaderMap) -> Result<Tenants, StatusError> {
        match self {
            Self::Single => Ok(Tenants(vec![TenantId::anonymous()])),
            Self::Multi => Tenants::from_header(headers),
        }
    }
}

/// The tenants of a request: sorted and unique; at least one, except on methods that want no tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants(Vec<TenantId>);

impl Tenants {
    /// One tenant.
    pub fn one(tenant: TenantId) -> Self {
        Self(vec![tenant])
    }

    /// Of a method that wants no tenant.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    fn from_header(headers: &HeaderMap) -> Result<Self, StatusError> {
        let header = headers.get(TENANT_HEADER).map(|value| value.to_str()).transpose();
        let header = header.map_err(|_| unauthenticated("tenant id contains bytes outside of ASCII"))?;
        let ids = header.filter(|ids| !ids.is_empty()).ok_or_else(|| unauthenticated("no org id"))?;
        TenantId::parse_list(ids).map(Self).map_err(|error| StatusError::from_coded(&error))
    }

    /// The only tenant: writes take no more. `unauthenticated` otherwise, as the reference answers.
    pub fn single(&self) -> Result<&TenantId, StatusError> {
        match self.0.as_slice() {
            [] => Err(unauthenticated("no org id")),
            [tenant] => Ok(tenant),
            _ => Err(unauthenticated("multiple org IDs present")),
        }
    }

    /// The only tenant, for reads that cannot merge tenants; `what` names them. `invalid_argument` otherwise.
    pub fn exactly_one(&self, what: &str) -> Result<&TenantId, StatusError> {
        match self.0.as_slice() {
            [tenant] => Ok(tenant),
            tenants => Err(StatusError::invalid_argument(format!(
                "{what} takes exactly one tenant, the request names {}",
                tenants.len()
            ))),
        }
    }

    /// In order.
    pub fn as_slice(&self) -> &[TenantId] {
        &self.0
    }

    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, TenantId> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Tenants {
    type Item = &'a TenantId;
    type IntoIter = std::slice::Iter<'a, TenantId>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn unauthenticated(message: &str) -> StatusError {
    StatusError::new(ErrorCode::Unauthenticated, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(header: Option<&'static str>) -> Result<Vec<String>, String> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(TENANT_HEADER, http::HeaderValue::from_static(header));
        }
        let tenants = Tenancy::Multi.tenants(&headers).map_err(|error| error.message)?;
        Ok(tenants.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn headers_are_lists() {
        assert_eq!(tenants(Some("b|a|b:region=eu")), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(tenants(None), Err("no org id".to_owned()));
        assert_eq!(tenants(Some("")), Err("no org id".to_owned()));
        assert!(tenants(Some("|")).is_err());
    }

    #[test]
    fn off_means_anonymous_whatever_the_header_says() {
        let mut headers = HeaderMap::new();
        headers.insert(TENANT_HEADER, http::HeaderValue::from_static("a/b"));
        assert_eq!(Tenancy::Single.tenants(&headers).unwrap().single().unwrap().as_str(), "anonymous");
    }

    #[test]
    fn one_of_two_is_refused() {
        let both = Tenants(TenantId::parse_list("a|b").unwrap());
        assert_eq!(both.single().unwrap_err().code, ErrorCode::Unauthenticated);
        assert_eq!(both.exactly_one("profile stats").unwrap_err().code, ErrorCode::InvalidArgument);
    }
}
