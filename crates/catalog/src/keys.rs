//! Names of the catalog's objects. The tenant is part of every one (promise P4).

use flamelake_model::TenantId;
use flamelake_object_storage::ObjectEntry;

/// The folder of all tenants.
pub(crate) const TENANTS: &str = "tenants/";

pub(crate) fn catalog_folder(tenant: &TenantId) -> String {
    format!("tenants/{tenant}/catalog/")
}

pub(crate) fn commit(tenant: &TenantId, version: u64) -> String {
    format!("tenants/{tenant}/catalog/{version:020}.json")
}

pub(crate) fn checkpoint(tenant: &TenantId, version: u64) -> String {
    format!("tenants/{tenant}/catalog/checkpoints/{version:020}.json")
}

pub(crate) fn blocks_folder(tenant: &TenantId) -> String {
    format!("tenants/{tenant}/blocks/")
}

/// The catalog's objects as a listing shows them, each kind ascending by version.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) commits: Vec<(u64, ObjectEntry)>,
    pub(crate) checkpoints: Vec<(u64, ObjectEntry)>,
}

impl Listed {
    pub(crate) fn of(tenant: &TenantId, entries: Vec<ObjectEntry>) -> Self {
        let folder = catalog_folder(tenant);
        let mut listed = Self::default();
        for entry in entries {
            let Some(name) = entry.key.strip_prefix(&folder) else { continue };
            let (list, name) = match name.strip_prefix("checkpoints/") {
                Some(name) => (&mut listed.checkpoints, name),
                None => (&mut listed.commits, name),
            };
            if let Some(version) =
                name.strip_suffix(".json").filter(|stem| stem.len() == 20).and_then(|stem| stem.parse().ok())
            {
                list.push((version, entry));
            }
        }
        listed
    }
}
