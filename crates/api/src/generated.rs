//! Where build.rs puts its output: one module a proto package, nested so that generated `super::super` paths resolve.
#![allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::redundant_clone,
    clippy::large_futures,
    rustdoc::all,
    reason = "generated code; the documentation stands in proto/"
)]

/// Packages `adhocprofiles.*`.
pub mod adhocprofiles {
    /// Package `adhocprofiles.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/adhocprofiles.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/adhocprofiles.v1.serde.rs"));
    }
}

/// Packages `capabilities.*`.
pub mod capabilities {
    /// Package `capabilities.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/capabilities.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/capabilities.v1.serde.rs"));
    }
}

/// Packages `debuginfo.*`.
pub mod debuginfo {
    /// Package `debuginfo.v1alpha1`.
    pub mod v1alpha1 {
        include!(concat!(env!("OUT_DIR"), "/debuginfo.v1alpha1.rs"));
        include!(concat!(env!("OUT_DIR"), "/debuginfo.v1alpha1.serde.rs"));
    }
}

/// Packages `flamelake.*`: what Flamelake processes say to each other.
pub mod flamelake {
    /// Packages `flamelake.compactor.*`.
    pub mod compactor {
        /// Package `flamelake.compactor.v1`.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/flamelake.compactor.v1.rs"));
        }
    }
    /// Packages `flamelake.ingester.*`.
    pub mod ingester {
        /// Package `flamelake.ingester.v1`.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/flamelake.ingester.v1.rs"));
        }
    }
    /// Packages `flamelake.member.*`.
    pub mod member {
        /// Package `flamelake.member.v1`.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/flamelake.member.v1.rs"));
        }
    }
    /// Packages `flamelake.prometheus.*`: what we send to a Prometheus.
    pub mod prometheus {
        /// Package `flamelake.prometheus.v1`.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/flamelake.prometheus.v1.rs"));
        }
    }
    /// Packages `flamelake.query.*`.
    pub mod query {
        /// Package `flamelake.query.v1`.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/flamelake.query.v1.rs"));
        }
    }
    /// Packages `flamelake.storegateway.*`.
    pub mod storegateway {
        /// Package `flamelake.storegateway.v1`.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/flamelake.storegateway.v1.rs"));
        }
    }
}

/// Packages `google.*`.
pub mod google {
    /// Package `google.api`.
    pub mod api {
        include!(concat!(env!("OUT_DIR"), "/google.api.rs"));
        include!(concat!(env!("OUT_DIR"), "/google.api.serde.rs"));
    }

    /// Package `google.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/google.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/google.v1.serde.rs"));
    }
}

/// Packages `push.*`.
pub mod push {
    /// Package `push.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/push.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/push.v1.serde.rs"));
    }
}

/// Packages `querier.*`.
pub mod querier {
    /// Package `querier.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/querier.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/querier.v1.serde.rs"));
    }
}

/// Packages `settings.*`.
pub mod settings {
    /// Package `settings.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/settings.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/settings.v1.serde.rs"));
    }
}

/// Packages `status.*`.
pub mod status {
    /// Package `status.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/status.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/status.v1.serde.rs"));
    }
}

/// Packages `types.*`.
pub mod types {
    /// Package `types.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/types.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/types.v1.serde.rs"));
    }
}

/// Packages `vcs.*`.
pub mod vcs {
    /// Package `vcs.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/vcs.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/vcs.v1.serde.rs"));
    }
}

/// Packages `version.*`.
pub mod version {
    /// Package `version.v1`.
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/version.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/version.v1.serde.rs"));
    }
}
