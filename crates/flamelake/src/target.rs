//! Which roles run in this process (`target`, contract `operations.md` section 1.1).

use anyhow::bail;
use flamelake_config::nearest;

/// Everything in one process.
const ALL: &str = "all";
/// One role a process, once there is a cluster for them to meet in.
const ROLES: [&str; 5] = ["distributor", "ingester", "store-gateway", "querier", "compactor"];
/// Groups of roles.
const GROUPS: [&str; 3] = ["write", "read", "backend"];

/// `Ok` if the roles that `text` (a list with commas) names can run here.
pub(crate) fn check(text: &str) -> anyhow::Result<()> {
    let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let known = || std::iter::once(ALL).chain(ROLES).chain(GROUPS);
    if let Some(unknown) = names.iter().find(|name| !known().any(|known| known == **name)) {
        let hint = nearest(unknown, known()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        bail!("target {unknown:?} is unknown{hint}");
    }
    if names.is_empty() {
        bail!("target is empty: use --target=all");
    }
    // `all` with others is still all.
    if !names.contains(&ALL) {
        bail!("target {text:?} is not implemented: separate roles come with the cluster, only --target=all works");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_all_works_and_errors_say_why() {
        let error = |text: &str| check(text).unwrap_err().to_string();
        check("all").unwrap();
        check("all,compactor").unwrap();
        assert!(error("ingester").contains("come with the cluster"));
        assert!(error("read, write").contains("come with the cluster"));
        assert_eq!(error("injester"), "target \"injester\" is unknown; did you mean ingester?");
        assert_eq!(error("zzz"), "target \"zzz\" is unknown");
        assert_eq!(error(""), "target is empty: use --target=all");
    }
}
