//! Who works for whom. Two owners at once cost work, never data.

use std::fmt::Debug;

use flamelake_model::TenantId;

/// Tells whether this process merges a tenant's blocks now.
pub trait Ownership: Debug + Send + Sync {
    /// Asked before each merge.
    fn owns(&self, tenant: &TenantId) -> bool;
}

/// The only process there is owns all tenants.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnsAll;

impl Ownership for OwnsAll {
    fn owns(&self, _: &TenantId) -> bool {
        true
    }
}
