//! What the guard lets in, as whom.

use super::*;

fn access(path: &str) -> Access {
    match path {
        "/open" => Access::Open,
        "/any" => Access::AnyToken,
        "/push" => Access::Needs(Right::Push),
        "/query" => Access::Needs(Right::Query),
        _ => Access::Needs(Right::Admin),
    }
}

/// The file, and what it calls its tokens: `TENANTS RIGHTS` each.
fn guard(lines: &[&str]) -> (Guard, Vec<String>) {
    let mut text = String::new();
    let mut tokens = Vec::new();
    for line in lines {
        let (tenants, rights) = line.split_once(' ').unwrap();
        let grant =
            TokenGrant { tenants: TenantScope::parse(tenants).unwrap(), rights: Rights::parse(rights).unwrap() };
        let drawn = draw(&grant, "").unwrap();
        text.push_str(&(drawn.line + "\n"));
        tokens.push(drawn.token.expose().to_owned());
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let tokens_file = Arc::new(Tokens::open(file.path()).unwrap());
    (Guard::new(tokens_file, access, &Registry::new()).unwrap(), tokens)
}

fn ask(guard: &Guard, tenancy: Tenancy, path: &str, token: Option<&str>, tenant: Option<&str>) -> String {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    }
    if let Some(tenant) = tenant {
        headers.insert(TENANT_HEADER, tenant.parse().unwrap());
    }
    match guard.admit(tenancy, path, &headers) {
        Ok(Some(tenants)) => tenants.to_str().unwrap().to_owned(),
        Ok(None) => "-".to_owned(),
        Err(error) => error.code.name().to_owned(),
    }
}

#[test]
fn a_right_opens_its_paths_and_no_other() {
    let (guard, tokens) = guard(&["a push", "a query", "a admin", "a push,query"]);
    let row = |token: Option<&str>| {
        ["/open", "/any", "/push", "/query", "/admin"]
            .map(|path| ask(&guard, Tenancy::Multi, path, token, None))
            .join(" ")
    };
    let no = "permission_denied";
    assert_eq!(row(Some(&tokens[0])), format!("- a a {no} {no}"));
    assert_eq!(row(Some(&tokens[1])), format!("- a {no} a {no}"));
    assert_eq!(row(Some(&tokens[2])), format!("- a {no} {no} a"));
    assert_eq!(row(Some(&tokens[3])), format!("- a a a {no}"));
    let unknown = "- unauthenticated unauthenticated unauthenticated unauthenticated";
    assert_eq!(row(None), unknown);
    assert_eq!(row(Some("flk_guess")), unknown);
    assert_eq!(row(Some(&tokens[0][..tokens[0].len() - 1])), unknown);
}

#[test]
fn a_token_names_its_tenant_and_no_other() {
    let (guard, tokens) = guard(&["a query", "a,b query", "* query"]);
    let ask = |token: usize, tenant| ask(&guard, Tenancy::Multi, "/query", Some(&tokens[token]), tenant);
    let no = "permission_denied";
    assert_eq!([None, Some("a"), Some(""), Some("b"), Some("a|b")].map(|t| ask(0, t)), ["a", "a", "a", no, no]);
    assert_eq!([None, Some("a"), Some("b|a:x=y"), Some("a|c")].map(|t| ask(1, t)), ["-", "a", "a|b", no]);
    assert_eq!([None, Some("c"), Some("*")].map(|t| ask(2, t)), ["-", "c", "*"]);
    assert_eq!(
        ask(0, Some("a/b")),
        Tenancy::Multi
            .tenants(&[(TENANT_HEADER, "a/b".parse().unwrap())].into_iter().collect())
            .unwrap_err()
            .code
            .name()
    );
}

#[test]
fn without_tenants_the_token_must_allow_the_only_one() {
    let (guard, tokens) = guard(&["a push,query,admin", "anonymous push", "* push"]);
    let ask = |token: usize, path| ask(&guard, Tenancy::Single, path, Some(&tokens[token]), Some("b"));
    assert_eq!(
        [ask(0, "/push"), ask(0, "/admin"), ask(1, "/push"), ask(2, "/push")],
        ["permission_denied", "-", "-", "-"]
    );
}

#[test]
fn a_script_is_not_answered_by_the_window_of_the_browser() {
    let told = |headers: &HeaderMap| answer(unauthenticated("x"), headers).headers()[header::WWW_AUTHENTICATE].clone();
    let script = [(header::HeaderName::from_static("x-requested-with"), HeaderValue::from_static("XMLHttpRequest"))];
    assert_eq!(told(&HeaderMap::new()), "Basic realm=\"flamelake\"");
    assert_eq!(told(&script.into_iter().collect()), "Bearer realm=\"flamelake\"");
}
