//! Which roles run in this process (`target`, contract `operations.md` section 1.1).

use anyhow::bail;
use flamelake_config::nearest;
use flamelake_ring::Role;

/// Everything in one process.
const ALL: &str = "all";

/// The roles of this process, each once, in a fixed order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Roles(Vec<Role>);

impl Roles {
    /// The roles that `text` (a list with commas) names. Fewer than all need others to meet: `has_ring`.
    pub(crate) fn parse(text: &str, has_ring: bool) -> anyhow::Result<Self> {
        let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            bail!("target is empty: use --target=all");
        }
        let mut wanted = Vec::new();
        for name in names {
            wanted.extend(named(name)?);
        }
        let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| wanted.contains(role)).collect();
        if roles.len() < Role::ALL.len() && !has_ring {
            bail!(
                "target {text:?} is a part of a cluster, which meets in etcd: set ring.etcd.endpoints, or use --target=all"
            );
        }
        Ok(Self(roles))
    }

    /// Does it run here?
    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// All of them.
    pub(crate) fn to_vec(&self) -> Vec<Role> {
        self.0.clone()
    }
}

/// One role, or a group of them.
fn named(name: &str) -> anyhow::Result<Vec<Role>> {
    Ok(match name {
        ALL => Role::ALL.to_vec(),
        "write" => vec![Role::Distributor, Role::Ingester],
        "read" => vec![Role::Querier],
        "backend" => vec![Role::StoreGateway, Role::Compactor],
        one => match Role::ALL.into_iter().find(|role| role.name() == one) {
            Some(role) => vec![role],
            None => {
                let known = [ALL, "write", "read", "backend"].into_iter().chain(Role::ALL.map(Role::name));
                let hint = nearest(one, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                bail!("target {one:?} is unknown{hint}");
            }
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_groups_name_roles() {
        let roles = |text: &str| {
            let roles = Roles::parse(text, true).unwrap();
            roles.to_vec().into_iter().map(Role::name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(roles("all"), "distributor ingester store-gateway querier compactor");
        assert_eq!(roles("all,compactor"), roles("read, write,backend"));
        assert_eq!(roles("write"), "distributor ingester");
        assert_eq!(roles("compactor,ingester,ingester"), "ingester compactor");
    }

    #[test]
    fn errors_say_what_to_do() {
        let error = |text: &str| Roles::parse(text, false).unwrap_err().to_string();
        Roles::parse("read,write,backend", false).unwrap();
        assert!(error("ingester").ends_with("set ring.etcd.endpoints, or use --target=all"));
        assert_eq!(error("injester"), "target \"injester\" is unknown; did you mean ingester?");
        assert_eq!(error("zzz"), "target \"zzz\" is unknown");
        assert_eq!(error(""), "target is empty: use --target=all");
    }
}
