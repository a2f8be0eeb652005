//! gRPC reflection, so that `grpcurl` and its like need no proto files.

use axum::Router;
use tonic_reflection::server::Builder;

/// Routes of `grpc.reflection.v1` and `v1alpha` over encoded file descriptor sets; the health service is always listed.
pub(crate) fn routes(descriptor_sets: &[&'static [u8]]) -> Result<Router, String> {
    let v1 = builder(descriptor_sets).build_v1().map_err(|error| error.to_string())?;
    let v1alpha = builder(descriptor_sets).build_v1alpha().map_err(|error| error.to_string())?;
    Ok(Router::new()
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", v1)
        .route_service("/grpc.reflection.v1alpha.ServerReflection/{method}", v1alpha))
}

fn builder<'a>(descriptor_sets: &[&'a [u8]]) -> Builder<'a> {
    let builder = Builder::configure().register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    descriptor_sets.iter().fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set))
}
