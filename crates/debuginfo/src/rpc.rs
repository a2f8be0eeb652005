//! `debuginfo.v1alpha1.DebuginfoService` (contract `wire.md` 6.6).

use flamelake_api::debuginfo::v1alpha1 as v1;
use flamelake_rpc::{Idempotent, RpcRouter};

use crate::Uploads;

const MESSAGE_BYTES_MAX: usize = 5 << 20;

macro_rules! method {
    ($name:literal) => {
        concat!("/debuginfo.v1alpha1.DebuginfoService/", $name)
    };
}

impl Uploads {
    /// The methods on the public port.
    pub fn rpc(&self) -> RpcRouter {
        let (should, finished, list, delete) = (self.clone(), self.clone(), self.clone(), self.clone());
        let router = RpcRouter::new()
            .unary(method!("ShouldInitiateUpload"), Idempotent::No, move |context, request| {
                let uploads = should.clone();
                async move { uploads.should_initiate(context.tenants.exactly_one("debug information")?, request).await }
            })
            .unary(method!("UploadFinished"), Idempotent::No, move |context, request: v1::UploadFinishedRequest| {
                let uploads = finished.clone();
                async move {
                    uploads.finished(context.tenants.exactly_one("debug information")?, &request.gnu_build_id).await
                }
            })
            .unary(method!("ListDebuginfo"), Idempotent::Yes, move |context, _: v1::ListDebuginfoRequest| {
                let uploads = list.clone();
                async move { uploads.listing(context.tenants.exactly_one("debug information")?).await }
            })
            .unary(method!("DeleteDebuginfo"), Idempotent::No, move |context, request: v1::DeleteDebuginfoRequest| {
                let uploads = delete.clone();
                async move {
                    uploads.delete(context.tenants.exactly_one("debug information")?, &request.gnu_build_id).await
                }
            });
        [
            method!("ShouldInitiateUpload"),
            method!("UploadFinished"),
            method!("ListDebuginfo"),
            method!("DeleteDebuginfo"),
        ]
        .into_iter()
        .fold(router, |router, path| router.body_limit(path, MESSAGE_BYTES_MAX))
    }
}
