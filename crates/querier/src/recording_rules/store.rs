//! Rules in the bucket, and which tenants have any.

use std::collections::BTreeMap;

use bytes::Bytes;
use flamelake_model::{StatusError, TenantId};
use flamelake_object_storage::Bucket;
use flamelake_runtime::clock::SharedClock;
use serde::{Deserialize, Serialize};

use super::rule::Rule;
use super::window::Window;
use crate::numbered::Numbered;

/// One empty object for each tenant that has, or had, rules: so that nobody has to look at all tenants.
const TENANTS: &str = "recording-rules/";

/// Rules by id, which is the order of their creation.
pub(super) type ById = BTreeMap<String, Rule>;

#[derive(Debug, Default, Serialize, Deserialize)]
struct All {
    rules: ById,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct RuleStore {
    rules: Numbered<All>,
    pub(super) windows: Numbered<Window>,
}

impl RuleStore {
    pub(super) fn new(bucket: Bucket, clock: SharedClock) -> Self {
        let rules = Numbered::new(bucket.clone(), SharedClock::clone(&clock), "recording-rules", "recording rules");
        let windows = Numbered::new(bucket, clock, "recording-windows", "windows of recording rules");
        Self { rules, windows }
    }

    pub(super) async fn load(&self, tenant: &TenantId) -> Result<ById, StatusError> {
        Ok(self.rules.newest(tenant).await?.map(|(_, all)| all.rules).unwrap_or_default())
    }

    pub(super) async fn change(
        &self,
        tenant: &TenantId,
        change: impl Fn(&mut ById) -> Result<(), StatusError>,
    ) -> Result<(), StatusError> {
        // Before the rule: who looks for tenants must find this one.
        let marked = self.rules.bucket().put(&format!("{TENANTS}{tenant}"), Bytes::new()).await;
        marked.map_err(|error| StatusError::from_coded(&error))?;
        self.rules.change(tenant, |all| change(&mut all.rules)).await
    }

    /// Everybody of whom there is anything in the bucket.
    pub(super) async fn tenants_with_data(&self) -> Result<Vec<TenantId>, StatusError> {
        let listed = self.rules.bucket().list_folders("tenants/").await;
        let names = listed.map_err(|error| StatusError::from_coded(&error))?;
        Ok(names.iter().filter_map(|name| TenantId::parse(name).ok()).collect())
    }

    /// For whom requests made rules, or once did.
    pub(super) async fn tenants(&self) -> Result<Vec<TenantId>, StatusError> {
        let listed = self.rules.bucket().list(TENANTS).await.map_err(|error| StatusError::from_coded(&error))?;
        Ok(listed.iter().filter_map(|entry| TenantId::parse(entry.key.strip_prefix(TENANTS)?).ok()).collect())
    }
}
