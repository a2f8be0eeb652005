//! Repositories, references and paths as a request names them, checked before they become part of a URL.

use flamelake_model::StatusError;
use reqwest::Url;

const NAME_BYTES_MAX: usize = 100;
const REFERENCE_BYTES_MAX: usize = 256;
const PATH_BYTES_MAX: usize = 4096;
/// What a reference means that is not given.
const DEFAULT_REFERENCE: &str = "HEAD";

/// A repository of the configured host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    pub(crate) owner: String,
    pub(crate) name: String,
}

impl Repository {
    /// From `https://HOST/OWNER/NAME`, with or without scheme and `.git`; longer paths name the same repository.
    pub(crate) fn parse(text: &str, host: &Url) -> Result<Self, StatusError> {
        let wrong = |why: &str| StatusError::invalid_argument(format!("repository {:?}: {why}", shortened(text)));
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("{}://{text}", host.scheme()) };
        let url = Url::parse(&with_scheme).map_err(|_| wrong("this is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("only http and https URLs without a password are read"));
        }
        let same_host = url.host_str() == host.host_str() && (url.port() == host.port());
        if !same_host {
            return Err(wrong(&format!("only repositories of {} can be read", host.host_str().unwrap_or_default())));
        }
        let mut segments = url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty());
        let (Some(owner), Some(name)) = (segments.next(), segments.next()) else {
            return Err(wrong("it names no owner and repository"));
        };
        Self::new(owner, name.strip_suffix(".git").unwrap_or(name)).ok_or_else(|| wrong("this is no name of GitHub"))
    }

    /// `None`: no names of GitHub.
    pub(crate) fn new(owner: &str, name: &str) -> Option<Self> {
        let is_name = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            is_plain && (1..=NAME_BYTES_MAX).contains(&text.len()) && text != "." && text != ".."
        };
        (is_name(owner) && is_name(name)).then(|| Self { owner: owner.to_owned(), name: name.to_owned() })
    }
}

/// A branch, a tag or a commit; nothing given is the default branch.
pub(crate) fn reference(text: &str) -> Result<String, StatusError> {
    if text.is_empty() {
        return Ok(DEFAULT_REFERENCE.to_owned());
    }
    // As git checks names of references, as far as URLs are concerned.
    let is_plain = text.chars().all(|char| !char.is_control() && !" ~^:?*[\\#%".contains(char));
    let is_path = text.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(".."));
    if text.len() > REFERENCE_BYTES_MAX || !is_plain || !is_path || text.starts_with('-') {
        return Err(StatusError::invalid_argument(format!("{:?} is no reference of git", shortened(text))));
    }
    Ok(text.to_owned())
}

/// The parts of a path below a repository's root; none may lead out of it.
pub(crate) fn path(text: &str) -> Result<Vec<String>, StatusError> {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let is_part = |part: &&str| *part != ".." && !part.chars().any(|char| char.is_control() || char == '\\');
    if text.len() > PATH_BYTES_MAX || !parts.iter().all(is_part) {
        return Err(StatusError::invalid_argument(format!("{:?} is no path of a repository", shortened(text))));
    }
    Ok(parts.into_iter().map(str::to_owned).collect())
}

fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_those_of_the_host() {
        let host = Url::parse("https://github.com").unwrap();
        let parsed = |text: &str| Repository::parse(text, &host).map(|one| format!("{}/{}", one.owner, one.name));
        for text in
            ["https://github.com/a/b", "github.com/a/b", "https://github.com/a/b.git", "http://github.com/a/b/tree/x"]
        {
            assert_eq!(parsed(text).unwrap(), "a/b", "{text}");
        }
        for text in [
            "",
            "a/b",
            "https://github.com/a",
            "https://github.com.evil.org/a/b",
            "https://evil.org/a/b",
            "https://github.com:8443/a/b",
            "https://github.com@evil.org/a/b",
            "https://x:y@github.com/a/b",
            "ssh://github.com/a/b",
            "git@github.com:a/b",
            "file:///etc/passwd",
            "https://github.com/../..",
            "https://github.com/a/b%2fc",
            "https://github.com/a/.git",
        ] {
            assert!(parsed(text).is_err(), "{text}: {:?}", parsed(text));
        }
    }

    #[test]
    fn references_and_paths_stay_below_the_repository() {
        assert_eq!(reference("").unwrap(), "HEAD");
        for text in ["main", "feature/x", "v1.2.3", "0123abcd", "refs/heads/main"] {
            assert_eq!(reference(text).unwrap(), text);
        }
        for text in ["a/../b", "..", "/a", "a/", "a b", "a?ref=b", "a%2e", "-x", ".a", "a\nb", &"a".repeat(257)] {
            assert!(reference(text).is_err(), "{text}");
        }
        assert_eq!(path("/a//./b c/ü.go").unwrap(), ["a", "b c", "ü.go"]);
        for text in ["..", "a/../../b", "a/..", "a\\..\\b", "a\0b", &"a".repeat(4097)] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
