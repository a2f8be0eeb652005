//! From the path of a file as a profile has it, to where the file may lie: in the repository itself, in Go's standard library, or in a Go module on GitHub.
//!
//! Only what a path itself tells is used. Not built (`docs/vcs.md`): `go.mod` files and vanity import paths are not read, and no other language's packages
//! are known.

use flamelake_model::StatusError;

use crate::repository::{Repository, path};

/// Where Go's standard library lies when the path does not tell its version.
const GO_DEFAULT: &str = "master";
const PSEUDO_COMMIT_CHARS: usize = 12;

/// One place to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) repository: Repository,
    pub(crate) reference: String,
    pub(crate) path: Vec<String>,
}

/// What a request names.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) repository: Repository,
    pub(crate) reference: String,
    /// As the profile has it.
    pub(crate) local_path: String,
    /// Where in the repository the program's sources begin.
    pub(crate) root_path: String,
}

/// The best place first, at most three.
pub(crate) fn places(wanted: &Wanted) -> Result<Vec<Place>, StatusError> {
    let local = path(&wanted.local_path)?;
    if local.is_empty() {
        return Err(StatusError::invalid_argument("localPath is empty"));
    }
    if let Some(place) = standard_library(&local).or_else(|| module(&local)) {
        return Ok(vec![place]);
    }
    let root = path(&wanted.root_path)?;
    let Repository { owner, name } = &wanted.repository;
    let own = |path: &[String]| Place {
        repository: wanted.repository.clone(),
        reference: wanted.reference.clone(),
        path: [root.as_slice(), path].concat(),
    };
    let mut places = Vec::new();
    // As `go build -trimpath` writes it: by the module's own name.
    if let [_, path_owner, path_name, rest @ ..] = &local[..]
        && (path_owner, path_name) == (owner, name)
    {
        places.push(own(rest));
    }
    places.push(own(&local));
    // As a build in a clone writes it: below a folder that is called as the repository.
    if wanted.local_path.starts_with('/')
        && let Some(at) = local.iter().rposition(|part| part == name)
    {
        places.push(own(&local[at + 1..]));
    }
    places.retain(|place| !place.path.is_empty());
    places.dedup();
    Ok(places)
}

/// `$GOROOT/src/…`, `/usr/local/go/src/…`, `/usr/lib/go-1.22/src/…`, and toolchains that Go downloads, whose folders tell the version.
fn standard_library(local: &[String]) -> Option<Place> {
    let at = local.iter().position(|part| part == "src").filter(|at| *at > 0)?;
    let (root, rest) = (&local[at - 1], &local[at + 1..]);
    let before = local.get(at.checked_sub(2).unwrap_or(usize::MAX)).map(String::as_str);
    let version = match root.as_str() {
        "$GOROOT" => None,
        "go" if matches!(before, Some("local" | "lib")) => None,
        root => Some(match root.strip_prefix("toolchain@v0.0.1-go") {
            // e.g. 1.22.3.linux-amd64
            Some(tail) => tail.rsplit_once('.').map_or(tail, |(version, _)| version),
            None => root.strip_prefix("go-").or_else(|| root.strip_prefix("go")).filter(|_| before == Some("lib"))?,
        }),
    };
    let is_version =
        |text: &&str| !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || char == '.');
    let reference = version.filter(is_version).map_or_else(|| GO_DEFAULT.to_owned(), |version| format!("go{version}"));
    let path = [&["src".to_owned()][..], rest].concat();
    Some(Place { repository: Repository::new("golang", "go")?, reference, path })
}

/// `github.com/OWNER/NAME[/SUB…]@VERSION/…`, and the same of `golang.org/x`, wherever the module cache lies.
fn module(local: &[String]) -> Option<Place> {
    let at = local.iter().position(|part| part.contains('@'))?;
    let from = local[..at].iter().rposition(|part| matches!(part.as_str(), "github.com" | "golang.org"))?;
    let (last, version) = local[at].split_once('@')?;
    let mut module: Vec<String> = local[from + 1..at].iter().map(|part| unescaped(part)).collect::<Option<_>>()?;
    module.push(unescaped(last)?);
    let repository = match (local[from].as_str(), &module[..]) {
        ("github.com", [owner, name, ..]) => Repository::new(owner, name)?,
        ("golang.org", [x, name, ..]) if x == "x" => Repository::new("golang", name)?,
        _ => return None,
    };
    // A module in a folder of its repository has that folder in its tags; a major version is no folder.
    let is_major = |part: &&String| part.strip_prefix('v').is_some_and(|digits| digits.parse::<u32>().is_ok());
    let folder: Vec<String> = module[2..].iter().filter(|part| !is_major(part)).cloned().collect();
    let version = crate::repository::reference(version.trim_end_matches("+incompatible")).ok()?;
    let reference = match (pseudo_commit(&version), folder.is_empty()) {
        (Some(commit), _) => commit.to_owned(),
        (None, true) => version,
        (None, false) => format!("{}/{version}", folder.join("/")),
    };
    Some(Place { repository, reference, path: [folder.as_slice(), &local[at + 1..]].concat() })
}

/// The commit of `v0.0.0-20240102030405-0123456789ab`.
fn pseudo_commit(version: &str) -> Option<&str> {
    let (before, commit) = version.rsplit_once('-')?;
    let has_time = before.rsplit(['-', '.']).next()?.chars().filter(char::is_ascii_digit).count() == 14;
    let is_commit = commit.len() == PSEUDO_COMMIT_CHARS && commit.chars().all(|char| char.is_ascii_hexdigit());
    (has_time && is_commit).then_some(commit)
}

/// The module cache writes upper-case letters as `!` and the lower-case one.
fn unescaped(part: &str) -> Option<String> {
    let mut text = String::with_capacity(part.len());
    let mut chars = part.chars();
    while let Some(char) = chars.next() {
        text.push(if char == '!' { chars.next()?.to_ascii_uppercase() } else { char });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(local_path: &str, root_path: &str, expected: &[&str]) {
        let wanted = Wanted {
            repository: Repository::new("me", "app").unwrap(),
            reference: "main".to_owned(),
            local_path: local_path.to_owned(),
            root_path: root_path.to_owned(),
        };
        let text = |place: &Place| {
            let Place { repository: Repository { owner, name }, reference, path } = place;
            format!("{owner}/{name} {reference} {}", path.join("/"))
        };
        let found: Vec<String> = places(&wanted).unwrap().iter().map(text).collect();
        assert_eq!(found, expected, "{local_path}");
    }

    #[test]
    fn files_of_the_repository_are_looked_for_below_its_root() {
        check("cmd/main.go", "", &["me/app main cmd/main.go"]);
        check("cmd/main.go", "services/x", &["me/app main services/x/cmd/main.go"]);
        check(
            "github.com/me/app/cmd/main.go",
            "",
            &["me/app main cmd/main.go", "me/app main github.com/me/app/cmd/main.go"],
        );
        check("/build/app/src/lib.rs", "", &["me/app main build/app/src/lib.rs", "me/app main src/lib.rs"]);
        check("/cmd/main.go", "/", &["me/app main cmd/main.go"]);
    }

    #[test]
    fn the_standard_library_of_go_lies_in_its_own_repository() {
        check("$GOROOT/src/fmt/print.go", "x", &["golang/go master src/fmt/print.go"]);
        check("/usr/local/go/src/fmt/print.go", "", &["golang/go master src/fmt/print.go"]);
        check("/usr/lib/go-1.22/src/net/http/server.go", "", &["golang/go go1.22 src/net/http/server.go"]);
        check(
            "/go/pkg/mod/golang.org/toolchain@v0.0.1-go1.22.3.linux-amd64/src/runtime/proc.go",
            "",
            &["golang/go go1.22.3 src/runtime/proc.go"],
        );
    }

    #[test]
    fn modules_lie_at_their_versions() {
        check("/go/pkg/mod/github.com/a/b@v1.2.3/c/d.go", "", &["a/b v1.2.3 c/d.go"]);
        check("github.com/!azure/b/v2@v2.0.0+incompatible/d.go", "", &["Azure/b v2.0.0 d.go"]);
        check("github.com/a/b/sub/mod@v0.1.0/d.go", "", &["a/b sub/mod/v0.1.0 sub/mod/d.go"]);
        check(
            "golang.org/x/net@v0.0.0-20240102030405-0123456789ab/http2/frame.go",
            "",
            &["golang/net 0123456789ab http2/frame.go"],
        );
        check("github.com/a/b@v1.2.4-0.20240102030405-0123456789ab/d.go", "", &["a/b 0123456789ab d.go"]);
    }

    #[test]
    fn no_path_leads_out() {
        for local_path in ["../x", "/a/../../etc/passwd", "github.com/a/b@v1/../../x", "", "/"] {
            let wanted = Wanted {
                repository: Repository::new("me", "app").unwrap(),
                reference: "main".to_owned(),
                local_path: local_path.to_owned(),
                root_path: String::new(),
            };
            assert!(places(&wanted).is_err(), "{local_path}");
        }
    }
}
