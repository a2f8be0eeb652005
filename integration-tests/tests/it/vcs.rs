//! Source code from GitHub, in the name of who looks. GitHub cannot be reached from tests: a small server answers as its documentation says
//! (https://docs.github.com/rest, https://docs.github.com/apps/creating-github-apps), and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flamelake_integration_tests::{Client, Server, ServerOptions};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SOURCE: &str = "package main\n\nfunc main() {}\n";

/// See the module. Ends with this value.
struct Github {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Github {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, asked) = (listener.local_addr()?, Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let service = service_fn(move |request: Request<Incoming>| answer(address, Arc::clone(&seen), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, asked, task })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock())
    }
}

impl Drop for Github {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    own: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    seen.lock().push(format!("{} {path}", parts.method));
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if path == "/login/oauth/access_token" {
        return Ok(token(&serde_json::from_slice(&body).unwrap_or_default()));
    }
    let is_known = header("authorization").starts_with("Bearer ghu_") && header("user-agent").starts_with("flamelake/");
    if !is_known || header("x-github-api-version") != "2022-11-28" {
        return Ok(told(401, &json!({"message": "Bad credentials"})));
    }
    let away = |status: u16, location: String| {
        Response::builder().status(status).header("location", location).body(Full::default()).expect("a redirect")
    };
    Ok(match path.as_str() {
        "/api/repos/me/app/contents/services/x/cmd/main.go?ref=v1"
        | "/api/repositories/7/contents/main.go?ref=v1"
        | "/api/repos/golang/go/contents/src/fmt/print.go?ref=go1.22"
        | "/api/repos/me/app/contents/%C3%BC%20b.go?ref=HEAD" => raw(SOURCE.into()),
        "/api/repos/me/app/contents/moved.go?ref=v1" => {
            away(301, format!("http://{own}/api/repositories/7/contents/main.go?ref=v1"))
        }
        "/api/repos/me/app/contents/away.go?ref=v1" => {
            away(302, format!("http://localhost:{}/api/repositories/7/contents/main.go?ref=v1", own.port()))
        }
        "/api/repos/me/app/contents/folder?ref=v1" => told(200, &json!([{"type": "file", "name": "a"}])),
        "/api/repos/me/app/contents/large.go?ref=v1" => raw(vec![b'x'; 5 << 20].into()),
        "/api/repos/me/app/contents/limited.go?ref=v1" => {
            let mut limited = told(403, &json!({"message": "API rate limit exceeded for user"}));
            limited.headers_mut().insert("x-ratelimit-remaining", "0".parse().expect("a header"));
            limited
        }
        "/api/repos/me/app/contents/broken.go?ref=v1" => told(502, &json!({"message": "Server Error"})),
        "/api/repos/me/app/commits/feature/x?per_page=1" => told(200, &commit("f00", Some("octocat"))),
        "/api/repos/me/app/commits/b00?per_page=1" => told(200, &commit("b00", None)),
        _ => told(404, &json!({"message": "Not Found", "documentation_url": "https://docs.github.com/rest"})),
    })
}

fn token(form: &Value) -> Response<Full<Bytes>> {
    let is_app = form["client_id"] == "Iv1" && form["client_secret"] == "app secret";
    let number = match (form["code"].as_str(), form["grant_type"].as_str(), form["refresh_token"].as_str()) {
        (Some("good"), None, None) if form["redirect_uri"] == "https://g/callback" => 1,
        (None, Some("refresh_token"), Some("ghr_1")) => 2,
        _ => 0,
    };
    if !is_app || number == 0 {
        let why = "The code passed is incorrect or expired.";
        return told(200, &json!({"error": "bad_verification_code", "error_description": why}));
    }
    told(
        200,
        &json!({
            "access_token": format!("ghu_{number}"), "expires_in": 28_800, "refresh_token": format!("ghr_{number}"),
            "refresh_token_expires_in": 15_897_600, "token_type": "bearer", "scope": "",
        }),
    )
}

fn commit(sha: &str, login: Option<&str>) -> Value {
    let author = login.map(|login| json!({"login": login, "avatar_url": "https://avatars/1"}));
    json!({
        "sha": sha, "html_url": format!("https://github.com/me/app/commit/{sha}"), "author": author,
        "commit": {"message": "Fix it", "author": {"name": "Mona", "email": "m@x", "date": "2026-01-02T03:04:05Z"}},
    })
}

fn raw(body: Bytes) -> Response<Full<Bytes>> {
    let response = Response::builder().header("content-type", "application/vnd.github.raw+json; charset=utf-8");
    response.body(Full::new(body)).expect("a file")
}

fn told(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
    response.body(Full::new(body.to_string().into())).expect("an answer")
}

async fn started() -> anyhow::Result<(Github, Server)> {
    let github = Github::start().await?;
    let options = ServerOptions::new().multitenant().flags([
        "vcs.github.client-id=Iv1",
        "vcs.github.client-secret=app secret",
        "vcs.github.session-secret=0123456789abcdef0123456789abcdef",
        "vcs.github.callback-url=https://g/callback",
    ]);
    let options = options.flag(&format!("vcs.github.url=http://{}", github.address));
    let options = options.flag(&format!("vcs.github.api-url=http://{}/api", github.address));
    let server = Server::start(options).await?;
    Ok((github, server))
}

async fn ask(client: &Client, method: &str, cookie: &str, request: &Value) -> anyhow::Result<(u16, Value)> {
    let headers = [("content-type", "application/json"), ("cookie", cookie)];
    let path = format!("/vcs.v1.VCSService/{method}");
    let (status, _, body) = client.post(&path, &headers, request.to_string().into_bytes()).await?;
    Ok((status, serde_json::from_slice(&body)?))
}

/// The answer and the `Set-Cookie` header.
async fn log_in(server: &Server, code: &str) -> anyhow::Result<(u16, String, Value)> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/vcs.v1.VCSService/GithubLogin", server.url());
    let request = http.post(url).header("x-scope-orgid", "a").header("x-forwarded-proto", "https");
    let response = request.json(&json!({"authorizationCode": code})).send().await?;
    let cookie =
        response.headers().get("set-cookie").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    Ok((response.status().as_u16(), cookie, response.json().await?))
}

#[tokio::test]
async fn a_person_logs_in_and_sees_files_and_commits() -> anyhow::Result<()> {
    let (github, server) = started().await?;
    let (a, b) = (server.tenant("a"), server.tenant("b"));
    let repository = format!("http://{}/me/app", github.address);
    let app = ask(&a, "GithubApp", "", &json!({})).await?;
    ensure!(app == (200, json!({"clientID": "Iv1", "callbackURL": "https://g/callback"})), "{app:?}");
    let (status, _, refused) = log_in(&server, "bad").await?;
    ensure!(
        status == 401 && refused["message"].as_str().is_some_and(|text| text.contains("incorrect or expired")),
        "{refused}"
    );
    let (status, set_cookie, session) = log_in(&server, "good").await?;
    ensure!(status == 200 && set_cookie.ends_with("HttpOnly; Secure"), "{status} {set_cookie} {session}");
    let cookie = format!("pyroscope_git_session={}", session["token"].as_str().context("a token")?);
    ensure!(session["cookie"].as_str().is_some_and(|text| text.starts_with(&cookie)), "{session}");
    ensure!(!session.to_string().contains("ghu_") && session["tokenExpiresAt"].as_str().is_some());

    let file = |path: &str, root: &str, reference: &str| json!({"repositoryURL": repository, "ref": reference, "localPath": path, "rootPath": root, "functionName": "main.main"});
    github.asked();
    for (path, root, reference, url) in [
        ("cmd/main.go", "services/x", "v1", "me/app/blob/v1/services/x/cmd/main.go"),
        ("/build/app/cmd/main.go", "services/x", "v1", "me/app/blob/v1/services/x/cmd/main.go"),
        ("/usr/lib/go-1.22/src/fmt/print.go", "", "v1", "golang/go/blob/go1.22/src/fmt/print.go"),
        ("ü b.go", "", "", "me/app/blob/HEAD/%C3%BC%20b.go"),
        ("moved.go", "", "v1", "me/app/blob/v1/moved.go"),
    ] {
        let (status, body) = ask(&a, "GetFile", &cookie, &file(path, root, reference)).await?;
        ensure!(status == 200, "{path}: {status} {body}");
        ensure!(STANDARD.decode(body["content"].as_str().context("content")?)? == SOURCE.as_bytes(), "{path}");
        ensure!(body["URL"] == format!("http://{}/{url}", github.address), "{body}");
    }
    ensure!(github.asked().len() == 7, "one place is looked at twice, one redirect is followed");
    for (path, code) in [
        ("none.go", "not_found"),
        ("folder", "not_found"),
        ("away.go", "not_found"),
        ("large.go", "resource_exhausted"),
        ("limited.go", "resource_exhausted"),
        ("broken.go", "unavailable"),
    ] {
        let (_, body) = ask(&a, "GetFile", &cookie, &file(path, "", "v1")).await?;
        ensure!(body["code"] == code, "{path}: {body}");
    }
    ensure!(github.asked().len() == 6, "no redirect to another host is followed");
    for wrong in [file("../x", "", "v1"), file("a/../../x", "", "v1"), file("x", "../..", "v1"), file("x", "", "../y")]
    {
        ensure!(ask(&a, "GetFile", &cookie, &wrong).await?.1["code"] == "invalid_argument", "{wrong}");
    }
    let mut elsewhere = file("x", "", "v1");
    elsewhere["repositoryURL"] = json!("http://127.0.0.1:1/me/app");
    ensure!(ask(&a, "GetFile", &cookie, &elsewhere).await?.1["code"] == "invalid_argument");
    ensure!(github.asked().is_empty(), "what is refused is not asked");

    let (_, body) = ask(&a, "GetCommit", &cookie, &json!({"repositoryURL": repository, "ref": "feature/x"})).await?;
    let author = json!({"login": "octocat", "avatarURL": "https://avatars/1"});
    let url = "https://github.com/me/app/commit/f00";
    ensure!(
        body == json!({"message": "Fix it", "author": author, "date": "2026-01-02T03:04:05Z", "sha": "f00", "URL": url}),
        "{body}"
    );
    let refs = json!({"repositoryUrl": repository, "refs": ["b00", "none", "feature/x"]});
    let (_, body) = ask(&a, "GetCommits", &cookie, &refs).await?;
    let shas: Vec<&Value> =
        body["commits"].as_array().context("commits")?.iter().map(|commit| &commit["sha"]).collect();
    ensure!(shas == ["b00", "f00"] && body["commits"][0]["author"]["login"] == "Mona", "{body}");

    // A session is of one person and one tenant.
    github.asked();
    for (client, cookie) in [(&a, ""), (&a, "pyroscope_git_session=x"), (&b, cookie.as_str())] {
        let (status, body) = ask(client, "GetFile", cookie, &file("cmd/main.go", "services/x", "v1")).await?;
        ensure!(status == 401 && body["code"] == "unauthenticated", "{status} {body}");
    }
    ensure!(github.asked().is_empty());
    let (status, renewed) = ask(&a, "GithubRefresh", &cookie, &json!({})).await?;
    let cookie =
        format!("pyroscope_git_session={}", renewed["token"].as_str().with_context(|| format!("{status} {renewed}"))?);
    ensure!(ask(&a, "GetFile", &cookie, &file("cmd/main.go", "services/x", "v1")).await?.0 == 200);
    // Its refresh token is one that GitHub does not know.
    ensure!(ask(&a, "GithubRefresh", &cookie, &json!({})).await?.0 == 401);
    let log = server.log();
    ensure!(!log.contains("ghu_") && !log.contains("ghr_") && !log.contains("app secret"), "{log}");
    ensure!(server.troubles().is_empty(), "{:#?}", server.troubles());
    Ok(())
}

#[tokio::test]
async fn it_is_off_until_an_app_is_configured() -> anyhow::Result<()> {
    let server = Server::start(ServerOptions::new()).await?;
    for method in ["GithubApp", "GithubLogin", "GithubRefresh", "GetFile", "GetCommit", "GetCommits"] {
        let (status, body) = ask(&server.client(), method, "", &json!({})).await?;
        let says_how = body["message"].as_str().is_some_and(|text| text.contains("vcs.github.client-id"));
        ensure!(status == 501 && body["code"] == "unimplemented" && says_how, "{method}: {status} {body}");
    }
    Ok(())
}
