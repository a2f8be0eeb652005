//! Limits for each tenant: the configured ones, overridden by a file that is read again when it changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use flamelake_model::TenantId;
use serde_yaml_ng::Value;

use crate::{ConfigError, Environment, KeySpec, Limits, LimitsSource, Section, Values, yaml};

/// The limits of all tenants.
#[derive(Debug)]
pub struct TenantLimits {
    defaults: Arc<Limits>,
    file: Option<PathBuf>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The text that the overrides come from.
    seen: Option<String>,
    overrides: Arc<BTreeMap<TenantId, Arc<Limits>>>,
}

impl TenantLimits {
    /// Limits from `defaults` and the overrides in `file`, if there is one. A bad file is an error here, at start.
    pub fn open(defaults: Limits, file: Option<PathBuf>) -> Result<Self, ConfigError> {
        let limits = Self { defaults: Arc::new(defaults), file, state: RwLock::default() };
        limits.reload()?;
        Ok(limits)
    }

    /// Reads the file again if it has changed: `true` = other limits hold from now on. On an error the last good ones stay.
    pub fn reload(&self) -> Result<bool, ConfigError> {
        let Some(path) = &self.file else { return Ok(false) };
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::ReadFile { path: path.clone(), source })?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.seen.as_ref() == Some(&text) {
            return Ok(false);
        }
        let parsed = parse(&text, &path.display().to_string(), &self.defaults);
        state.overrides = Arc::new(parsed?);
        state.seen = Some(text);
        Ok(true)
    }

    /// The limits of a tenant without overrides.
    pub fn defaults(&self) -> &Limits {
        &self.defaults
    }

    /// Every tenant with limits of its own, sorted.
    pub fn overrides(&self) -> Arc<BTreeMap<TenantId, Arc<Limits>>> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).overrides)
    }
}

impl LimitsSource for TenantLimits {
    fn for_tenant(&self, tenant: &TenantId) -> Arc<Limits> {
        self.overrides().get(tenant).map_or_else(|| Arc::clone(&self.defaults), Arc::clone)
    }

    fn named(&self) -> Vec<TenantId> {
        self.overrides().keys().cloned().collect()
    }

    fn for_others(&self) -> Arc<Limits> {
        Arc::clone(&self.defaults)
    }
}

fn parse(text: &str, origin: &str, defaults: &Limits) -> Result<BTreeMap<TenantId, Arc<Limits>>, ConfigError> {
    let shape = |path: &str, found: &Value| ConfigError::Shape {
        path: path.to_owned(),
        origin: origin.to_owned(),
        found: yaml::name_of(found),
        expected: "a block of keys",
    };
    let document = yaml::parse(text, origin)?;
    let top = match &document {
        Value::Null => return Ok(BTreeMap::new()),
        Value::Mapping(map) => map,
        other => return Err(shape("the document", other)),
    };
    let mut tenants = BTreeMap::new();
    for (key, value) in top {
        match (yaml::scalar(key).as_deref(), value) {
            (Some("overrides"), Value::Null) => {}
            (Some("overrides"), Value::Mapping(map)) => {
                for (tenant, limits) in map {
                    let name = yaml::scalar(tenant).ok_or_else(|| shape("a tenant of overrides", tenant))?;
                    let tenant = TenantId::parse(&name).map_err(|source| ConfigError::Tenant {
                        tenant: name.clone(),
                        origin: origin.to_owned(),
                        source,
                    })?;
                    let origin = format!("overrides of {name} in {origin}");
                    tenants.insert(tenant, Arc::new(limits_of(limits, &origin, defaults)?));
                }
            }
            (Some("overrides"), other) => return Err(shape("overrides", other)),
            (other, _) => {
                return Err(ConfigError::UnknownKeys(vec![crate::UnknownKey {
                    key: other.unwrap_or("(not text)").to_owned(),
                    origin: origin.to_owned(),
                    nearest: Some("overrides".to_owned()),
                }]));
            }
        }
    }
    Ok(tenants)
}

fn limits_of(value: &Value, origin: &str, defaults: &Limits) -> Result<Limits, ConfigError> {
    let entries = yaml::entries_of(value, origin, &Environment::Process)?;
    let mut values = Values::new(Limits::keys().into_iter().map(by_field).collect());
    values.add(entries, |_| origin.to_owned(), true)?;
    Limits::load_over(defaults.clone(), &mut values)
}

/// Here the short name alone names a limit too.
fn by_field(spec: KeySpec) -> KeySpec {
    KeySpec { aliases: vec![crate::normal(spec.field)], ..spec }
}
