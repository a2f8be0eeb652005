//! Settings of tenants (`settings.v1.SettingsService`; `docs/formats/settings.md`).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use flamelake_api::settings::v1;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_object_storage::Bucket;
use flamelake_rpc::{Idempotent, RpcRouter};
use flamelake_runtime::clock::SharedClock;

use serde::{Deserialize, Serialize};

use crate::numbered::Numbered;

const NAME_BYTES_MAX: usize = 128;
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Of one tenant.
const SETTINGS_MAX: usize = 256;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    value: String,
    modified_at_ms: i64,
}

/// Those of a tenant, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
struct All {
    settings: BTreeMap<String, Kept>,
}

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Settings {
    store: Numbered<All>,
    clock: SharedClock,
}

impl Settings {
    /// Settings in this bucket.
    pub fn new(bucket: Bucket, clock: SharedClock) -> Self {
        Self { store: Numbered::new(bucket, SharedClock::clone(&clock), "settings", "settings"), clock }
    }

    #[cfg(test)]
    fn bucket(&self) -> &Bucket {
        self.store.bucket()
    }

    /// The methods on the public port.
    pub fn rpc(&self) -> RpcRouter {
        let (get, set, delete) = (self.clone(), self.clone(), self.clone());
        RpcRouter::new()
            .unary("/settings.v1.SettingsService/Get", Idempotent::Yes, move |context, _: v1::GetSettingsRequest| {
                let settings = get.clone();
                async move { settings.get(context.tenants.exactly_one("settings")?).await }
            })
            .unary("/settings.v1.SettingsService/Set", Idempotent::No, move |context, request| {
                let settings = set.clone();
                async move { settings.set(context.tenants.exactly_one("settings")?, request).await }
            })
            .unary("/settings.v1.SettingsService/Delete", Idempotent::No, move |context, request| {
                let settings = delete.clone();
                async move { settings.delete(context.tenants.exactly_one("settings")?, request).await }
            })
    }

    async fn get(&self, tenant: &TenantId) -> Result<v1::GetSettingsResponse, StatusError> {
        let kept = self.load(tenant).await?;
        Ok(v1::GetSettingsResponse { settings: kept.into_iter().map(|(name, kept)| setting(name, kept)).collect() })
    }

    async fn load(&self, tenant: &TenantId) -> Result<BTreeMap<String, Kept>, StatusError> {
        Ok(self.store.newest(tenant).await?.map(|(_, all)| all.settings).unwrap_or_default())
    }

    async fn set(
        &self,
        tenant: &TenantId,
        request: v1::SetSettingsRequest,
    ) -> Result<v1::SetSettingsResponse, StatusError> {
        let given = request.setting.ok_or_else(|| StatusError::invalid_argument("no setting is given"))?;
        check(&given)?;
        let now_ms = self.clock.unix_nanos() / 1_000_000;
        let modified_at_ms = if given.modified_at > 0 { given.modified_at } else { now_ms };
        let kept = Kept { value: given.value, modified_at_ms };
        let change = |All { settings }: &mut All| {
            match settings.get(&given.name) {
                Some(before) if before.modified_at_ms > modified_at_ms => {
                    let why = format!("setting {:?} was changed later than that: read it again", given.name);
                    return Err(StatusError::new(ErrorCode::AlreadyExists, why));
                }
                None if settings.len() >= SETTINGS_MAX => {
                    let why = format!("a tenant may have {SETTINGS_MAX} settings: delete one first");
                    return Err(StatusError::new(ErrorCode::ResourceExhausted, why));
                }
                _ => {}
            }
            settings.insert(given.name.clone(), kept.clone());
            Ok(())
        };
        self.store.change(tenant, change).await?;
        Ok(v1::SetSettingsResponse { setting: Some(setting(given.name, kept)) })
    }

    /// Deleting what is not there is done already.
    async fn delete(
        &self,
        tenant: &TenantId,
        request: v1::DeleteSettingsRequest,
    ) -> Result<v1::DeleteSettingsResponse, StatusError> {
        if request.name.is_empty() {
            return Err(StatusError::invalid_argument("the name of the setting is empty"));
        }
        if self.load(tenant).await?.contains_key(&request.name) {
            self.store
                .change(tenant, |all| {
                    all.settings.remove(&request.name);
                    Ok(())
                })
                .await?;
        }
        Ok(v1::DeleteSettingsResponse {})
    }
}

fn check(setting: &v1::Setting) -> Result<(), StatusError> {
    let bytes = setting.name.len();
    if bytes == 0 || bytes > NAME_BYTES_MAX {
        let why = format!("the name of the setting has {bytes} bytes; 1 to {NAME_BYTES_MAX} are allowed");
        return Err(StatusError::invalid_argument(why));
    }
    let bytes = setting.value.len();
    if bytes > VALUE_BYTES_MAX {
        let why = format!("the value of the setting has {bytes} bytes; {VALUE_BYTES_MAX} are allowed");
        return Err(StatusError::invalid_argument(why));
    }
    Ok(())
}

fn setting(name: String, kept: Kept) -> v1::Setting {
    v1::Setting { name, value: kept.value, modified_at: kept.modified_at_ms }
}
