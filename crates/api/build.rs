//! Turns `proto/` into messages, clients, JSON and the method table. Pure Rust: no protoc is needed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use protox::prost_reflect::prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Packages whose messages speak JSON.
const PACKAGES: &[&str] = &[
    ".adhocprofiles.v1",
    ".capabilities.v1",
    ".debuginfo.v1alpha1",
    ".google.api",
    ".google.v1",
    ".push.v1",
    ".querier.v1",
    ".settings.v1",
    ".status.v1",
    ".types.v1",
    ".vcs.v1",
    ".version.v1",
];

fn main() -> Result<()> {
    // Asked at run time: a shared target folder hands this program from one checkout to the next.
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let (internal, public): (Vec<_>, Vec<_>) =
        proto_files(&root)?.into_iter().partition(|file| file.starts_with(root.join("flamelake")));
    let public = compile(&root, &public, &out.join("descriptors.bin"))?;
    let internal = compile(&root, &internal, &out.join("internal_descriptors.bin"))?;
    std::fs::write(out.join("methods.rs"), method_table(&public)?)?;
    json(&std::fs::read(out.join("descriptors.bin"))?)?;
    messages(public)?;
    internal_services(internal)
}

/// Compiles the files and writes their descriptors.
fn compile(root: &Path, files: &[PathBuf], descriptors: &Path) -> Result<FileDescriptorSet> {
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    std::fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    Ok(compiler.file_descriptor_set())
}

/// What Flamelake processes say to each other: tonic on both sides, no JSON.
fn internal_services(descriptors: FileDescriptorSet) -> Result<()> {
    let mut config = tonic_prost_build::Config::new();
    config.bytes(["."]);
    tonic_prost_build::configure().emit_rerun_if_changed(false).compile_fds_with_config(descriptors, config)?;
    Ok(())
}

fn messages(descriptors: FileDescriptorSet) -> Result<()> {
    // `bytes` fields are slices of the request body: a pushed profile is never copied on its way in.
    let mut config = tonic_prost_build::Config::new();
    config.bytes(["."]);
    tonic_prost_build::configure()
        .build_server(false)
        .build_client(true)
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

fn json(descriptors: &[u8]) -> Result<()> {
    pbjson_build::Builder::new()
        .register_descriptors(descriptors)?
        .extern_path(".google.protobuf", "::pbjson_types")
        .ignore_unknown_fields()
        .ignore_unknown_enum_variants()
        .build(PACKAGES)?;
    Ok(())
}

fn method_table(descriptors: &FileDescriptorSet) -> Result<String> {
    let mut table = String::from(
        "/// Every public method of `proto/`, in order of files and declarations.\npub const METHODS: &[Method] = &[\n",
    );
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let service = format!("{}.{}", file.package(), service.name());
                let level = method.options.as_ref().map(|options| options.idempotency_level()).unwrap_or_default();
                writeln!(
                    table,
                    "    Method {{ service: {service:?}, name: {:?}, path: {:?}, no_side_effects: {} }},",
                    method.name(),
                    format!("/{service}/{}", method.name()),
                    level == IdempotencyLevel::NoSideEffects,
                )?;
            }
        }
    }
    table.push_str("];\n");
    Ok(table)
}

fn proto_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
