//! `vcs.v1.VCSService` on the public port: sessions in and out, questions to GitHub, answers to messages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flamelake_api::vcs::v1;
use flamelake_model::{ErrorCode, StatusError, TenantId};
use flamelake_rpc::{Idempotent, Reply, RequestContext, RpcRouter};
use flamelake_runtime::clock::SharedClock;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderName};
use prometheus::{IntCounterVec, Opts, Registry};

use crate::config::VcsConfig;
use crate::error::VcsError;
use crate::github::{Commit, Github};
use crate::repository::{Repository, reference};
use crate::session::{self, Sealer, Session};
use crate::source_path::{Wanted, places};

const WHAT: &str = "the source code view";
/// Commits of one request.
const COMMITS_MAX: usize = 100;
/// Of one request, at a time.
const COMMITS_AT_ONCE: usize = 4;
const CODE_BYTES_MAX: usize = 1024;
/// A proxy that ends TLS says so.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What it works with.
#[derive(Clone, Debug)]
pub struct VcsDeps {
    /// Time.
    pub clock: SharedClock,
    /// Where metrics are registered.
    pub registry: Registry,
}

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Vcs {
    on: Option<On>,
}

/// Where it is configured.
#[derive(Clone, Debug)]
struct On {
    github: Github,
    sealer: std::sync::Arc<Sealer>,
    clock: SharedClock,
}

impl Vcs {
    /// With the app of the settings; without one every method answers `unimplemented`.
    pub fn new(config: &VcsConfig, deps: VcsDeps) -> Result<Self, VcsError> {
        if !config.is_on()? {
            return Ok(Self { on: None });
        }
        let options =
            Opts::new("flamelake_vcs_requests_total", "Requests to GitHub, by what they ask for and outcome.");
        let requests = IntCounterVec::new(options, &["operation", "outcome"])?;
        deps.registry.register(Box::new(requests.clone()))?;
        let github = Github::new(config, SharedClock::clone(&deps.clock), requests)?;
        let sealer = std::sync::Arc::new(Sealer::new(config.session_secret.clone()));
        Ok(Self { on: Some(On { github, sealer, clock: deps.clock }) })
    }

    /// The methods on the public port.
    pub fn rpc(&self) -> RpcRouter {
        let (app, log_in, renew) = (self.clone(), self.clone(), self.clone());
        let (file, commit, commits) = (self.clone(), self.clone(), self.clone());
        RpcRouter::new()
            .unary("/vcs.v1.VCSService/GithubApp", Idempotent::Yes, move |_, _: v1::GithubAppRequest| {
                let vcs = app.clone();
                async move { Ok(vcs.on()?.app()) }
            })
            .unary_with_headers("/vcs.v1.VCSService/GithubLogin", Idempotent::No, move |context, request| {
                let vcs = log_in.clone();
                async move { vcs.on()?.log_in(&context, request).await }
            })
            .unary_with_headers(
                "/vcs.v1.VCSService/GithubRefresh",
                Idempotent::No,
                move |context, _: v1::GithubRefreshRequest| {
                    let vcs = renew.clone();
                    async move { vcs.on()?.renew(&context).await }
                },
            )
            .unary("/vcs.v1.VCSService/GetFile", Idempotent::Yes, move |context, request| {
                let vcs = file.clone();
                async move { vcs.on()?.file(&context, request).await }
            })
            .unary("/vcs.v1.VCSService/GetCommit", Idempotent::Yes, move |context, request| {
                let vcs = commit.clone();
                async move { vcs.on()?.commit(&context, request).await }
            })
            .unary("/vcs.v1.VCSService/GetCommits", Idempotent::Yes, move |context, request| {
                let vcs = commits.clone();
                async move { vcs.on()?.commits(&context, request).await }
            })
    }

    fn on(&self) -> Result<&On, StatusError> {
        self.on.as_ref().ok_or_else(|| {
            StatusError::unimplemented(
                "the source code view is off: set vcs.github.client-id, vcs.github.client-secret and vcs.github.session-secret",
            )
        })
    }
}

impl On {
    fn app(&self) -> v1::GithubAppResponse {
        v1::GithubAppResponse {
            client_id: self.github.client_id().to_owned(),
            callback_url: self.github.callback_url().to_owned(),
        }
    }

    async fn log_in(
        &self,
        context: &RequestContext,
        request: v1::GithubLoginRequest,
    ) -> Result<Reply<v1::GithubLoginResponse>, StatusError> {
        let tenant = context.tenants.exactly_one(WHAT)?;
        let code = request.authorization_code;
        if code.is_empty() || code.len() > CODE_BYTES_MAX {
            return Err(StatusError::invalid_argument("authorizationCode is empty or too long"));
        }
        let given = self.give(tenant, &self.github.log_in(&code).await?, &context.headers)?;
        let message = v1::GithubLoginResponse {
            cookie: given.cookie,
            token: given.token,
            token_expires_at: given.expires_at_ms,
            refresh_token_expires_at: given.refresh_expires_at_ms,
        };
        Ok(Reply { message, headers: given.headers })
    }

    async fn renew(&self, context: &RequestContext) -> Result<Reply<v1::GithubRefreshResponse>, StatusError> {
        let (tenant, session) = self.session(context)?;
        let given = self.give(tenant, &self.github.renew(&session).await?, &context.headers)?;
        let message = v1::GithubRefreshResponse {
            cookie: given.cookie,
            token: given.token,
            token_expires_at: given.expires_at_ms,
            refresh_token_expires_at: given.refresh_expires_at_ms,
        };
        Ok(Reply { message, headers: given.headers })
    }

    async fn file(
        &self,
        context: &RequestContext,
        request: v1::GetFileRequest,
    ) -> Result<v1::GetFileResponse, StatusError> {
        let session = self.valid_session(context)?;
        let wanted = Wanted {
            repository: Repository::parse(&request.repository_url, &self.github.url)?,
            reference: reference(&request.r#ref)?,
            local_path: request.local_path,
            root_path: request.root_path,
        };
        let mut missing = StatusError::new(ErrorCode::NotFound, "no place to look at");
        for place in places(&wanted)? {
            match self.github.file(&session, &place).await {
                Ok((content, url)) => return Ok(v1::GetFileResponse { content: STANDARD.encode(content), url }),
                Err(error) if error.code == ErrorCode::NotFound => missing = error,
                Err(error) => return Err(error),
            }
        }
        Err(missing)
    }

    async fn commit(
        &self,
        context: &RequestContext,
        request: v1::GetCommitRequest,
    ) -> Result<v1::GetCommitResponse, StatusError> {
        let session = self.valid_session(context)?;
        let repository = Repository::parse(&request.repository_url, &self.github.url)?;
        let commit = self.github.commit(&session, &repository, &reference(&request.r#ref)?).await?;
        let Commit { sha, message, date, url, login, avatar_url } = commit;
        let author = Some(v1::CommitAuthor { login, avatar_url });
        Ok(v1::GetCommitResponse { message, author, date, sha, url })
    }

    /// Those that there are, in the order asked.
    async fn commits(
        &self,
        context: &RequestContext,
        request: v1::GetCommitsRequest,
    ) -> Result<v1::GetCommitsResponse, StatusError> {
        let session = self.valid_session(context)?;
        let repository = Repository::parse(&request.repository_url, &self.github.url)?;
        if request.refs.len() > COMMITS_MAX {
            let why = format!("{} refs are given, at most {COMMITS_MAX} are allowed", request.refs.len());
            return Err(StatusError::invalid_argument(why));
        }
        let references = request.refs.iter().map(|text| reference(text)).collect::<Result<Vec<_>, _>>()?;
        let found: Vec<Option<Commit>> = stream::iter(references)
            .map(|reference| {
                let (github, session, repository) = (self.github.clone(), session.clone(), repository.clone());
                async move {
                    match github.commit(&session, &repository, &reference).await {
                        Ok(commit) => Ok(Some(commit)),
                        Err(error) if error.code == ErrorCode::NotFound => Ok(None),
                        Err(error) => Err(error),
                    }
                }
            })
            .buffered(COMMITS_AT_ONCE)
            .try_collect()
            .await?;
        let info = |Commit { sha, message, date, url, login, avatar_url }| v1::CommitInfo {
            message,
            author: Some(v1::CommitAuthor { login, avatar_url }),
            date,
            sha,
            url,
        };
        Ok(v1::GetCommitsResponse { commits: found.into_iter().flatten().map(info).collect() })
    }

    fn session<'a>(&self, context: &'a RequestContext) -> Result<(&'a TenantId, Session), StatusError> {
        let tenant = context.tenants.exactly_one(WHAT)?;
        let sealed = session::from_headers(&context.headers)?;
        let opened = self.sealer.open(tenant, sealed)?;
        Ok((tenant, opened.ok_or_else(|| unauthenticated("the session is none of this tenant's: log in again"))?))
    }

    fn valid_session(&self, context: &RequestContext) -> Result<Session, StatusError> {
        let (_, session) = self.session(context)?;
        let now_ms = self.clock.unix_nanos() / 1_000_000;
        if session.expires_at_ms != 0 && session.expires_at_ms <= now_ms {
            return Err(unauthenticated("the session has ended: call GithubRefresh, or log in again"));
        }
        Ok(session)
    }

    fn give(&self, tenant: &TenantId, session: &Session, headers: &HeaderMap) -> Result<Given, StatusError> {
        let token = self.sealer.seal(tenant, session)?;
        let now_ms = self.clock.unix_nanos() / 1_000_000;
        let ends_at_ms = session.expires_at_ms.max(session.refresh_expires_at_ms);
        let seconds = (ends_at_ms > 0).then(|| (ends_at_ms - now_ms).max(0) / 1000);
        let cookie = session::cookie(&token, seconds);
        let is_https =
            headers.get(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
        Ok(Given {
            headers: session::set_cookie(&cookie, is_https)?,
            cookie,
            token,
            expires_at_ms: session.expires_at_ms,
            refresh_expires_at_ms: session.refresh_expires_at_ms,
        })
    }
}

/// A session as a client gets it.
struct Given {
    headers: HeaderMap,
    cookie: String,
    token: String,
    expires_at_ms: i64,
    refresh_expires_at_ms: i64,
}

fn unauthenticated(why: &str) -> StatusError {
    StatusError::new(ErrorCode::Unauthenticated, why)
}
