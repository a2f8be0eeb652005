//! Which build this is.

use std::sync::OnceLock;

/// What only the program knows, so that a commit does not compile this crate and all above it anew.
static ORIGIN: OnceLock<(&str, &str)> = OnceLock::new();

/// Version and origin of this binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// SemVer.
    pub version: &'static str,
    /// Git revision; empty when neither `FLAMELAKE_REVISION` nor git told it to the build, and in programs that do not say.
    pub revision: &'static str,
    /// Git branch; empty like the revision.
    pub branch: &'static str,
}

impl BuildInfo {
    /// The first act of a program: from where it was built. Once; later words change nothing.
    pub fn came_from(revision: &'static str, branch: &'static str) {
        let _ = ORIGIN.set((revision, branch));
    }

    /// Of this binary.
    pub fn current() -> Self {
        let (revision, branch) = ORIGIN.get().copied().unwrap_or_default();
        Self { version: env!("CARGO_PKG_VERSION"), revision, branch }
    }
}

impl std::fmt::Display for BuildInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.version)?;
        if self.revision.is_empty() { Ok(()) } else { write!(f, " ({})", self.revision) }
    }
}
