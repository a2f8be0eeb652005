//! Keys of the source code view.

use std::time::Duration;

use flamelake_config::{ByteSize, Secret};

use crate::error::VcsError;

flamelake_config::section! {
    /// Version control: source code of profiled programs, read from GitHub in the name of who looks (`docs/vcs.md`). Off unless the app's
    /// id, its secret and the session secret are given.
    pub struct VcsConfig {
        /// Client id of a GitHub App.
        "vcs.github.client-id" => pub client_id: String = String::new(),
        /// Its client secret.
        "vcs.github.client-secret" => pub client_secret: Secret = Secret::default(),
        /// What sessions are encrypted with: at least 32 characters, the same for all queriers, e.g. of `openssl rand -hex 32`. Another one ends all sessions.
        "vcs.github.session-secret" => pub session_secret: Secret = Secret::default(),
        /// Where GitHub sends people back to, as the app has it. Empty = as the app says.
        "vcs.github.callback-url" => pub callback_url: String = String::new(),
        /// Where people and repositories are.
        "vcs.github.url" => pub url: String = "https://github.com".to_owned(),
        /// Where its API is; of a GitHub Enterprise Server `https://HOST/api/v3`.
        "vcs.github.api-url" => pub api_url: String = "https://api.github.com".to_owned(),
        /// Longest wait for one answer of GitHub.
        "vcs.github.timeout" => pub timeout: Duration = Duration::from_secs(20),
        /// Largest source file.
        "vcs.github.file-bytes-max" => pub file_bytes_max: ByteSize = ByteSize(4 << 20),
    }
}

/// Characters of a session secret.
const SECRET_CHARS_MIN: usize = 32;

impl VcsConfig {
    /// False: nothing of it is configured. An error: a part is.
    pub(crate) fn is_on(&self) -> Result<bool, VcsError> {
        let given = [
            ("vcs.github.client-id", self.client_id.is_empty()),
            ("vcs.github.client-secret", self.client_secret.is_empty()),
            ("vcs.github.session-secret", self.session_secret.is_empty()),
        ];
        if given.iter().all(|(_, is_empty)| *is_empty) {
            return Ok(false);
        }
        if let Some((key, _)) = given.iter().find(|(_, is_empty)| *is_empty) {
            return Err(VcsError::Missing { key });
        }
        if self.session_secret.expose().chars().count() < SECRET_CHARS_MIN {
            return Err(VcsError::ShortSecret { min: SECRET_CHARS_MIN });
        }
        Ok(true)
    }
}
