//! What DuckDB runs first: where the blocks lie, how to get at them, and the views of `docs/formats/tenant.sql`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use flamelake_model::TenantId;
use flamelake_object_storage::{S3Config, StorageConfig};

/// The views, as they are published.
const VIEWS: &str = include_str!("../../../../docs/formats/tenant.sql");

/// Live blocks.
pub(super) struct Blocks<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) ids: Vec<String>,
}

/// What becomes of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrets {
    /// For DuckDB alone.
    Written,
    /// For eyes.
    LeftOut,
}

/// The script; the error says which stores DuckDB cannot read by itself.
pub(super) fn script(storage: &StorageConfig, blocks: &Blocks<'_>, secrets: Secrets) -> anyhow::Result<String> {
    let (access, root) = match storage.backend.as_str() {
        "filesystem" => (String::new(), folder(Path::new(&storage.filesystem.dir))?),
        "s3" => (s3(&storage.s3, secrets), format!("s3://{}", storage.s3.bucket_name)),
        "in-memory" => {
            bail!("storage.backend is in-memory: what lies in the memory of a server no other program can read")
        }
        other => bail!(
            "storage.backend is {other}: flamelake sql reads folders and S3. Copy tenants/{}/ to a folder with the tools of that store, and \
             name it by --storage.backend=filesystem --storage.filesystem.dir=FOLDER",
            blocks.tenant
        ),
    };
    let prefix = match storage.prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    let mut text = access;
    text.push_str("SET VARIABLE flamelake_blocks = [\n");
    for id in &blocks.ids {
        let path = format!("{root}/{prefix}tenants/{}/blocks/{id}", blocks.tenant);
        writeln!(text, "    {},", quoted(&without_wildcards(&path)))?;
    }
    text.push_str("];\n\n");
    text.push_str(VIEWS);
    Ok(text)
}

/// DuckDB may be started elsewhere.
fn folder(dir: &Path) -> anyhow::Result<String> {
    let whole = std::fs::canonicalize(dir).with_context(|| format!("the folder {}", dir.display()))?;
    whole.to_str().map(str::to_owned).with_context(|| format!("the name of {} is not UTF-8", whole.display()))
}

fn s3(config: &S3Config, secrets: Secrets) -> String {
    let mut options = vec!["TYPE s3".to_owned()];
    let mut text = "INSTALL httpfs;\nLOAD httpfs;\n".to_owned();
    if config.access_key_id.is_empty() {
        // As the server does: variables, files and roles of the machine.
        text.push_str("INSTALL aws;\nLOAD aws;\n");
        options.push("PROVIDER credential_chain".to_owned());
    } else {
        let (id, secret) = match secrets {
            Secrets::Written => (config.access_key_id.as_str(), config.secret_access_key.expose()),
            Secrets::LeftOut => ("storage.s3.access-key-id", "storage.s3.secret-access-key"),
        };
        options.push(format!("KEY_ID {}", quoted(id)));
        options.push(format!("SECRET {}", quoted(secret)));
    }
    let region = if config.region.is_empty() { "us-east-1" } else { &config.region };
    options.push(format!("REGION {}", quoted(region)));
    let (scheme, host) = config.endpoint.split_once("://").unwrap_or(("", &config.endpoint));
    if !host.is_empty() {
        options.push(format!("ENDPOINT {}", quoted(host.trim_end_matches('/'))));
    }
    if config.force_path_style {
        options.push("URL_STYLE 'path'".to_owned());
    }
    if config.insecure || scheme == "http" {
        options.push("USE_SSL false".to_owned());
    }
    text + &format!("CREATE OR REPLACE SECRET flamelake ({});\n\n", options.join(", "))
}

/// A text of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Names of files may hold what DuckDB takes for a pattern.
fn without_wildcards(path: &str) -> String {
    path.chars()
        .map(|char| if matches!(char, '*' | '?' | '[') { format!("[{char}]") } else { char.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use flamelake_config::Secret;

    use super::*;

    fn storage(backend: &str) -> StorageConfig {
        let mut storage = StorageConfig::default();
        backend.clone_into(&mut storage.backend);
        storage.s3.bucket_name = "profiles".to_owned();
        storage.s3.endpoint = "http://minio:9000/".to_owned();
        storage.s3.access_key_id = "id".to_owned();
        storage.s3.secret_access_key = Secret::new("it's secret");
        storage.s3.force_path_style = true;
        storage.prefix = "/a/b/".to_owned();
        storage
    }

    fn head(storage: &StorageConfig, tenant: &str, secrets: Secrets) -> String {
        let tenant = TenantId::parse(tenant).unwrap();
        let text = script(storage, &Blocks { tenant: &tenant, ids: vec!["01A".to_owned(), "01B".to_owned()] }, secrets)
            .unwrap();
        text.strip_suffix(VIEWS).unwrap().to_owned()
    }

    #[test]
    fn blocks_in_s3_are_named_with_a_secret() {
        assert_eq!(
            head(&storage("s3"), "team'*", Secrets::Written),
            "INSTALL httpfs;\nLOAD httpfs;\nCREATE OR REPLACE SECRET flamelake (TYPE s3, KEY_ID 'id', SECRET 'it''s secret', REGION 'us-east-1', \
             ENDPOINT 'minio:9000', URL_STYLE 'path', USE_SSL false);\n\nSET VARIABLE flamelake_blocks = [\n    \
             's3://profiles/a/b/tenants/team''[*]/blocks/01A',\n    's3://profiles/a/b/tenants/team''[*]/blocks/01B',\n];\n\n"
        );
        let shown = head(&storage("s3"), "t", Secrets::LeftOut);
        assert!(!shown.contains("it''s") && shown.contains("storage.s3.secret-access-key"), "{shown}");
        let mut chain = storage("s3");
        chain.s3.access_key_id.clear();
        assert!(head(&chain, "t", Secrets::Written).contains("PROVIDER credential_chain"));
    }

    #[test]
    fn folders_are_named_in_full_and_other_stores_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut own = storage("filesystem");
        own.prefix.clear();
        own.filesystem.dir = folder.path().join(".").display().to_string();
        let whole = std::fs::canonicalize(folder.path()).unwrap();
        assert!(head(&own, "t", Secrets::Written).contains(&format!("'{}/tenants/t/blocks/01A',", whole.display())));
        let tenant = TenantId::parse("t").unwrap();
        for backend in ["in-memory", "gcs", "azure"] {
            let error =
                script(&storage(backend), &Blocks { tenant: &tenant, ids: Vec::new() }, Secrets::Written).unwrap_err();
            assert!(error.to_string().contains(backend), "{error}");
        }
    }
}
