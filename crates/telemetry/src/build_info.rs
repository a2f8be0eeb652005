//! Which build this is.

/// Version and revision of this binary.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// SemVer.
    pub version: &'static str,
    /// Git revision; empty when it was not given to the build (`FLAMELAKE_REVISION`).
    pub revision: &'static str,
}

impl BuildInfo {
    /// Of this binary.
    pub fn current() -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), revision: option_env!("FLAMELAKE_REVISION").unwrap_or_default() }
    }
}

impl std::fmt::Display for BuildInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.version)?;
        if self.revision.is_empty() { Ok(()) } else { write!(f, " ({})", self.revision) }
    }
}
