//! GitHub's REST API and its login, as documented (<https://docs.github.com/rest>). Every answer is bounded in size and time, and no answer leads to another host.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flamelake_model::{ErrorCode, StatusError};
use flamelake_runtime::clock::SharedClock;
use flamelake_runtime::with_causes;
use http::{HeaderMap, StatusCode, header};
use prometheus::IntCounterVec;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::config::VcsConfig;
use crate::error::VcsError;
use crate::repository::Repository;
use crate::session::Session;
use crate::source_path::Place;

/// Requests under way at a time, for everybody; others wait.
const REQUESTS_MAX: usize = 16;
/// Answers in JSON: a commit names its files.
const JSON_BYTES_MAX: usize = 8 << 20;
/// Renamed repositories answer with one.
const REDIRECTS_MAX: usize = 3;
/// Of a message of GitHub's.
const MESSAGE_BYTES_MAX: usize = 500;

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Github {
    http: reqwest::Client,
    pub(crate) url: Url,
    api_url: Url,
    client_id: String,
    client_secret: flamelake_config::Secret,
    callback_url: String,
    file_bytes_max: usize,
    clock: SharedClock,
    turns: Arc<Semaphore>,
    requests: IntCounterVec,
}

/// A commit, as people want to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) sha: String,
    pub(crate) message: String,
    pub(crate) date: String,
    pub(crate) url: String,
    pub(crate) login: String,
    pub(crate) avatar_url: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    access_token: String,
    expires_in: Option<i64>,
    #[serde(default)]
    refresh_token: String,
    refresh_token_expires_in: Option<i64>,
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

#[derive(Deserialize)]
struct CommitAnswer {
    sha: String,
    #[serde(default)]
    html_url: String,
    commit: CommitDetail,
    author: Option<Account>,
}

#[derive(Deserialize)]
struct CommitDetail {
    #[serde(default)]
    message: String,
    author: Option<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    #[serde(default)]
    name: String,
    #[serde(default)]
    date: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Account {
    login: String,
    avatar_url: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorAnswer {
    message: String,
}

impl Github {
    pub(crate) fn new(config: &VcsConfig, clock: SharedClock, requests: IntCounterVec) -> Result<Self, VcsError> {
        let http = reqwest::Client::builder()
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(Duration::from_secs(10)))
            .redirect(Policy::custom(same_origin))
            .user_agent(concat!("flamelake/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(VcsError::Client)?;
        Ok(Self {
            http,
            url: url("vcs.github.url", &config.url)?,
            api_url: url("vcs.github.api-url", &config.api_url)?,
            client_id: config.client_id.clone(),
            client_secret: config.client_secret.clone(),
            callback_url: config.callback_url.clone(),
            file_bytes_max: config.file_bytes_max.as_usize(),
            clock,
            turns: Arc::new(Semaphore::new(REQUESTS_MAX)),
            requests,
        })
    }

    /// Of the app.
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(crate) fn callback_url(&self) -> &str {
        &self.callback_url
    }

    /// A session for the code that GitHub sent a person back with.
    pub(crate) async fn log_in(&self, code: &str) -> Result<Session, StatusError> {
        let mut form = vec![("code", code)];
        if !self.callback_url.is_empty() {
            form.push(("redirect_uri", self.callback_url.as_str()));
        }
        self.token("log_in", &form).await
    }

    /// A new session for one that ends.
    pub(crate) async fn renew(&self, session: &Session) -> Result<Session, StatusError> {
        if session.refresh_token.is_empty() {
            return Err(StatusError::new(ErrorCode::FailedPrecondition, "GitHub gave no refresh token: log in again"));
        }
        self.token("renew", &[("grant_type", "refresh_token"), ("refresh_token", session.refresh_token.as_str())]).await
    }

    async fn token(&self, operation: &'static str, form: &[(&str, &str)]) -> Result<Session, StatusError> {
        let url = joined(&self.url, &["login", "oauth", "access_token"]);
        let own = [("client_id", self.client_id.as_str()), ("client_secret", self.client_secret.expose())];
        // It takes the parameters as JSON, too.
        let parameters: BTreeMap<&str, &str> = own.into_iter().chain(form.iter().copied()).collect();
        let request = self.http.post(url).header(header::ACCEPT, "application/json").json(&parameters);
        let answer: TokenAnswer = self.json(operation, request).await?;
        // Refusals come with status 200.
        if !answer.error.is_empty() || answer.access_token.is_empty() {
            let why =
                shortened(if answer.error_description.is_empty() { &answer.error } else { &answer.error_description });
            return Err(StatusError::new(ErrorCode::Unauthenticated, format!("GitHub does not log in: {why}")));
        }
        let now_ms = self.clock.unix_nanos() / 1_000_000;
        let at =
            |seconds: Option<i64>| seconds.map_or(0, |seconds| now_ms.saturating_add(seconds.saturating_mul(1000)));
        Ok(Session {
            access_token: answer.access_token,
            expires_at_ms: at(answer.expires_in),
            refresh_token: answer.refresh_token,
            refresh_expires_at_ms: at(answer.refresh_token_expires_in),
        })
    }

    /// The file, and where a person sees it.
    pub(crate) async fn file(&self, session: &Session, place: &Place) -> Result<(Vec<u8>, String), StatusError> {
        let Place { repository: Repository { owner, name }, reference, path } = place;
        let mut segments = vec!["repos", owner, name, "contents"];
        segments.extend(path.iter().map(String::as_str));
        let mut url = joined(&self.api_url, &segments);
        url.query_pairs_mut().append_pair("ref", reference);
        let request = self.api(session, url, "application/vnd.github.raw+json");
        let (headers, content) = self.bytes("file", request, self.file_bytes_max).await?;
        let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // A folder has no raw form and comes as JSON of another kind.
        if media_type.starts_with("application/json") {
            return Err(StatusError::new(ErrorCode::NotFound, format!("{} is a folder", path.join("/"))));
        }
        let mut segments = vec![owner.as_str(), name, "blob"];
        segments.extend(reference.split('/'));
        segments.extend(path.iter().map(String::as_str));
        Ok((content, joined(&self.url, &segments).to_string()))
    }

    pub(crate) async fn commit(
        &self,
        session: &Session,
        repository: &Repository,
        reference: &str,
    ) -> Result<Commit, StatusError> {
        let mut segments = vec!["repos", &repository.owner, &repository.name, "commits"];
        segments.extend(reference.split('/'));
        let mut url = joined(&self.api_url, &segments);
        // Of its files, which nobody asked for.
        url.query_pairs_mut().append_pair("per_page", "1");
        let request = self.api(session, url, "application/vnd.github+json");
        let CommitAnswer { sha, html_url, commit, author } = self.json("commit", request).await?;
        let signature = commit.author.unwrap_or(Signature { name: String::new(), date: String::new() });
        // Who has no account is known by a name.
        let account = author.unwrap_or_default();
        let login = if account.login.is_empty() { signature.name } else { account.login };
        Ok(Commit {
            sha,
            message: commit.message,
            date: signature.date,
            url: html_url,
            login,
            avatar_url: account.avatar_url,
        })
    }

    fn api(&self, session: &Session, url: Url, accept: &str) -> RequestBuilder {
        self.http
            .get(url)
            .bearer_auth(&session.access_token)
            .header(header::ACCEPT, accept)
            .header("x-github-api-version", "2022-11-28")
    }

    async fn json<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        request: RequestBuilder,
    ) -> Result<T, StatusError> {
        let (_, bytes) = self.bytes(operation, request, JSON_BYTES_MAX).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| StatusError::unavailable(format!("GitHub answered what is not documented: {error}")))
    }

    async fn bytes(
        &self,
        operation: &'static str,
        request: RequestBuilder,
        bytes_max: usize,
    ) -> Result<(HeaderMap, Vec<u8>), StatusError> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let answer = read(request, bytes_max).await;
        let outcome = answer.as_ref().map_or_else(|error| error.code.name(), |_| "ok");
        self.requests.with_label_values(&[operation, outcome]).inc();
        answer
    }
}

async fn read(request: RequestBuilder, bytes_max: usize) -> Result<(HeaderMap, Vec<u8>), StatusError> {
    let unreachable = |error: reqwest::Error| {
        StatusError::unavailable(format!("GitHub cannot be reached: {}", with_causes(&error.without_url())))
    };
    let mut response = request.send().await.map_err(unreachable)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let is_good = status.is_success();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > bytes_max {
            if !is_good {
                break;
            }
            let why = format!("GitHub's answer has more than {bytes_max} bytes (for files, vcs.github.file-bytes-max)");
            return Err(StatusError::resource_exhausted(why));
        }
        bytes.extend_from_slice(&chunk);
    }
    if is_good { Ok((headers, bytes)) } else { Err(refusal(status, &headers, &bytes)) }
}

/// What a refusal of GitHub's means to a person.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> StatusError {
    let told = serde_json::from_slice::<ErrorAnswer>(body).unwrap_or_default().message;
    let told = shortened(&told);
    let is_used_up = headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0")
        || headers.contains_key(header::RETRY_AFTER);
    let (code, what) = match status.as_u16() {
        401 => (ErrorCode::Unauthenticated, "GitHub does not take the session any more, log in again"),
        403 | 429 if is_used_up || status.as_u16() == 429 => {
            (ErrorCode::ResourceExhausted, "GitHub's limit of requests is used up, try again later")
        }
        403 => (ErrorCode::PermissionDenied, "GitHub does not allow it"),
        404 | 422 => (ErrorCode::NotFound, "GitHub does not have it, or not for who is logged in"),
        300..=399 => (ErrorCode::NotFound, "GitHub points to another host, where nobody goes"),
        500.. => (ErrorCode::Unavailable, "GitHub has trouble, try again later"),
        _ => (ErrorCode::Unknown, "GitHub refuses"),
    };
    StatusError::new(code, format!("{what} ({status}): {told}"))
}

fn same_origin(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let is_same = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
    if is_same && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}

fn url(key: &'static str, text: &str) -> Result<Url, VcsError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| VcsError::Url { key, url: text.to_owned() })
}

/// Each segment is one, whatever it holds.
fn joined(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    url.path_segments_mut().expect("http URLs have paths").pop_if_empty().extend(segments);
    url
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE_BYTES_MAX).collect()
}
