//! The wire: code generated from `proto/`, its conversions to and from `model`, and the traits that roles meet through.
//!
//! Nothing else: no sockets, no logic. Modules are named as proto packages are: `push.v1` is [`push::v1`].

mod generated;
mod method;
mod convert;
pub mod roles;

pub use convert::{AnswerAssembler, answer_chunks, label_pairs, labels_from_pairs, tenant};
pub use generated::{
    adhocprofiles, capabilities, debuginfo, flamelake, google, push, querier, settings, status, types, vcs, version,
};
pub use method::{METHODS, Method};

/// The public part of `proto/` as an encoded `google.protobuf.FileDescriptorSet`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The same of the internal services, `proto/flamelake`.
pub const INTERNAL_FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/internal_descriptors.bin"));
