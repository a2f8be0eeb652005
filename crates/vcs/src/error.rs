//! Why the source code view cannot be set up. What goes wrong later is a `StatusError` from the start: it is for the person who looks.

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum VcsError {
    /// A part of the configuration.
    #[error(
        "{key} is missing: the source code view needs vcs.github.client-id, vcs.github.client-secret and vcs.github.session-secret"
    )]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// Guessable.
    #[error("vcs.github.session-secret must have at least {min} characters: use `openssl rand -hex 32`")]
    ShortSecret {
        /// Characters.
        min: usize,
    },
    /// No URL of HTTP.
    #[error("{key} is {url:?}, which is no http or https URL")]
    Url {
        /// The key.
        key: &'static str,
        /// As it was given.
        url: String,
    },
    /// No client could be made.
    #[error("make a client for GitHub")]
    Client(#[source] reqwest::Error),
    /// The registry refuses.
    #[error("register the metrics of the source code view")]
    Metrics(#[from] prometheus::Error),
}
