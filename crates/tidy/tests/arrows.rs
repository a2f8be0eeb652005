//! Which crate may depend on which. An arrow that is not here is a change of the design: argue it in its own commit.

const FOUNDATION: &[&str] = &["config", "runtime", "telemetry"];
const CLUSTER: &[&str] = &["api", "rpc", "ring"];
const ROLES: &[&str] = &["distributor", "ingester", "store-gateway", "querier", "compactor"];

/// The crates that `name` may know; `None` = it has no line here.
fn allowed(name: &str) -> Option<Vec<&'static str>> {
    let groups: &[&[&str]] = match name {
        // Values: no I/O, no async.
        "model" => &[],
        "pprof" => &[&["model"]],
        // Foundation: no product knowledge beyond tenant and limits.
        "config" => &[&["model"]],
        "runtime" => &[&["config"]],
        "telemetry" => &[&["config", "runtime"]],
        // Storage.
        "object-storage" => &[&["model"], FOUNDATION],
        "symbols" => &[&["model", "pprof"]],
        "block" => &[&["model", "symbols", "object-storage"], FOUNDATION],
        "journal" => &[&["model", "pprof", "object-storage"], FOUNDATION],
        "catalog" => &[&["model", "block", "object-storage"], FOUNDATION],
        "query-engine" => &[&["model", "pprof", "symbols", "block"]],
        // Cluster.
        "api" => &[&["model", "pprof"]],
        "rpc" => &[&["model"], FOUNDATION],
        "ring" => &[&["model"], FOUNDATION],
        // The page knows only its own files.
        "web" => &[],
        // Names for addresses: uploads in, symbols out.
        "debuginfo" => &[&["model", "symbols", "block", "query-engine", "object-storage", "api", "rpc"], FOUNDATION],
        // Source code beside profiles: a client of code hosts.
        "vcs" => &[&["model", "api", "rpc"], FOUNDATION],
        // Roles: none knows another.
        "distributor" => &[&["model", "pprof"], CLUSTER, FOUNDATION],
        "ingester" => &[
            &[
                "model",
                "pprof",
                "symbols",
                "block",
                "journal",
                "catalog",
                "query-engine",
                "object-storage",
                "debuginfo",
            ],
            CLUSTER,
            FOUNDATION,
        ],
        "store-gateway" => &[&["model", "block", "query-engine", "object-storage", "debuginfo"], CLUSTER, FOUNDATION],
        "querier" => &[&["model", "pprof", "catalog", "object-storage"], CLUSTER, FOUNDATION],
        "compactor" => &[&["model", "symbols", "block", "catalog", "object-storage"], CLUSTER, FOUNDATION],
        // The program builds what roles are given, and `flamelake admin` looks at blocks, catalogs and logs without a server.
        "flamelake" => &[
            &["model", "object-storage", "block", "catalog", "journal", "web", "debuginfo", "vcs"],
            CLUSTER,
            FOUNDATION,
            ROLES,
        ],
        // Builds what the program builds, over a world of its own.
        "sim" => &[&["model", "object-storage", "catalog", "journal", "testkit"], CLUSTER, FOUNDATION, ROLES],
        // Other tests and tools meet the server only over the network.
        "testkit" => &[&["model", "pprof", "config", "runtime"]],
        "integration-tests" | "loadgen" => &[&["api", "testkit"]],
        "tidy" => &[],
        _ => return None,
    };
    Some(groups.concat())
}

#[test]
fn no_crate_knows_more_than_it_may() {
    let mut wrong = Vec::new();
    for one in flamelake_tidy::crates().unwrap() {
        let Some(allowed) = allowed(&one.name) else {
            wrong.push(format!("{} has no line in this table", one.name));
            continue;
        };
        let unknown = one.knows.iter().filter(|known| !allowed.contains(&known.as_str()));
        wrong.extend(unknown.map(|known| format!("{} -> {known} is no allowed arrow", one.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_role_may_know_a_role() {
    for role in ROLES {
        let allowed = allowed(role).unwrap();
        assert!(ROLES.iter().all(|other| !allowed.contains(other)), "{role}");
    }
}
