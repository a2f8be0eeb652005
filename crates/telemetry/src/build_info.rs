//! Which build this is.

/// Version and origin of this binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// SemVer.
    pub version: &'static str,
    /// Git revision; empty when neither `FLAMELAKE_REVISION` nor git told it to the build.
    pub revision: &'static str,
    /// Git branch; empty like the revision.
    pub branch: &'static str,
}

impl BuildInfo {
    /// Of this binary.
    pub fn current() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            revision: env!("FLAMELAKE_BUILD_REVISION"),
            branch: env!("FLAMELAKE_BUILD_BRANCH"),
        }
    }
}

impl std::fmt::Display for BuildInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.version)?;
        if self.revision.is_empty() { Ok(()) } else { write!(f, " ({})", self.revision) }
    }
}
