//! The file of tokens: lines `SHA-256 TENANTS RIGHTS [NAME]`. Only hashes are stored, and a token is found by its hash: how long that takes
//! tells nothing about a token that is almost right.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use flamelake_config::Secret;
use flamelake_model::{Coded, ErrorCode, TenantId};
use parking_lot::RwLock;

/// Larger files are refused unread: a hundred thousand tokens fit.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// So that a token is known as one, e.g. by scanners of repositories.
const PREFIX: &str = "flk_";
const DRAWN_BYTES: usize = 32;

type Hash = [u8; 32];

/// Something a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Store profiles.
    Push,
    /// Ask for them.
    Query,
    /// See and change the process itself: its configuration, the ring, flushes.
    Admin,
}

impl Right {
    const ALL: [Self; 3] = [Self::Push, Self::Query, Self::Admin];

    /// As the file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Query => "query",
            Self::Admin => "admin",
        }
    }
}

/// A set of rights; prints as the file has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// `push,query,admin` or a part of it. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',').try_fold(Self::default(), |Self(rights), name| {
            let right = Right::ALL.into_iter().find(|right| right.name() == name);
            let right = right.ok_or_else(|| format!("right {name:?} is unknown: use push, query, admin"))?;
            Ok(Self(rights | 1 << right as u8))
        })
    }

    /// Is it one of them?
    pub fn has(self, right: Right) -> bool {
        self.0 & (1 << right as u8) != 0
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Right::ALL.into_iter().filter(|right| self.has(*right)).map(Right::name).collect();
        f.write_str(&names.join(","))
    }
}

/// For whom a token may act; prints as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantScope {
    /// `*`.
    All,
    /// These.
    Some(Vec<TenantId>),
}

impl TenantScope {
    /// `*`, or tenants with commas. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        let tenants = text.split(',').map(TenantId::parse).collect::<Result<Vec<_>, _>>();
        tenants.map(Self::Some).map_err(|error| format!("tenants {text:?}: {error}; use ids with commas, or *"))
    }

    /// May it act for this one?
    pub fn allows(&self, tenant: &TenantId) -> bool {
        match self {
            Self::All => true,
            Self::Some(tenants) => tenants.contains(tenant),
        }
    }

    /// The tenant of a request that names none.
    pub fn only(&self) -> Option<&TenantId> {
        match self {
            Self::Some(tenants) => tenants.first().filter(|_| tenants.len() == 1),
            Self::All => None,
        }
    }
}

impl fmt::Display for TenantScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Some(tenants) => f.write_str(&tenants.iter().map(TenantId::as_str).collect::<Vec<_>>().join(",")),
        }
    }
}

/// What one token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGrant {
    /// For whom.
    pub tenants: TenantScope,
    /// What.
    pub rights: Rights,
}

/// Why a file of tokens is not taken. Lines are told by number, never by what they hold.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It cannot be read.
    #[error("read auth.tokens-file {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is too large to be one.
    #[error("auth.tokens-file {path} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// A line is no token's.
    #[error("auth.tokens-file line {line}: {problem}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

impl Coded for TokensError {
    fn code(&self) -> ErrorCode {
        ErrorCode::FailedPrecondition
    }
}

/// The tokens of a file, which may change while we run.
pub struct Tokens {
    path: PathBuf,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// The text that the grants come from.
    text: String,
    grants: Arc<HashMap<Hash, TokenGrant>>,
}

impl Tokens {
    /// Reads the file; a bad one is an error here, at start.
    pub fn open(path: &Path) -> Result<Self, TokensError> {
        let tokens = Self { path: path.to_owned(), state: RwLock::default() };
        tokens.reload()?;
        Ok(tokens)
    }

    /// Reads the file again: `true` = other tokens hold from now on. On an error the last good ones stay.
    pub fn reload(&self) -> Result<bool, TokensError> {
        let read = |source| TokensError::Read { path: self.path.clone(), source };
        if std::fs::metadata(&self.path).map_err(read)?.len() > FILE_BYTES_MAX {
            return Err(TokensError::TooLarge { path: self.path.clone() });
        }
        let text = std::fs::read_to_string(&self.path).map_err(read)?;
        if self.state.read().text == text {
            return Ok(false);
        }
        let grants = Arc::new(parse(&text)?);
        *self.state.write() = State { text, grants };
        Ok(true)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.state.read().grants.len()
    }

    pub(super) fn find(&self, token: &[u8]) -> Option<TokenGrant> {
        let grants = Arc::clone(&self.state.read().grants);
        grants.get(&hash(token)).cloned()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("path", &self.path).field("count", &self.count()).finish()
    }
}

fn hash(token: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
    hash
}

fn parse(text: &str) -> Result<HashMap<Hash, TokenGrant>, TokensError> {
    let mut grants = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |problem: String| TokensError::Line { line: at + 1, problem };
        let (hash, grant) = parse_line(line).map_err(wrong)?;
        if grants.insert(hash, grant).is_some() {
            return Err(wrong("this token has a line above already: give it all tenants and rights in one".to_owned()));
        }
    }
    Ok(grants)
}

fn parse_line(line: &str) -> Result<(Hash, TokenGrant), String> {
    let mut words = line.split_ascii_whitespace();
    let (Some(digits), Some(tenants), Some(rights)) = (words.next(), words.next(), words.next()) else {
        return Err("wants SHA-256, tenants and rights: flamelake token writes such lines".to_owned());
    };
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).map_err(|_| {
        "the first word is not a SHA-256 in 64 hexadecimal digits; never put the token itself here".to_owned()
    })?;
    Ok((hash, TokenGrant { tenants: TenantScope::parse(tenants)?, rights: Rights::parse(rights)? }))
}

/// A new token.
#[derive(Debug)]
pub struct Drawn {
    /// For the one who sends it.
    pub token: Secret,
    /// For the file.
    pub line: String,
}

/// Draws a token of 256 random bits. The error says what is wrong.
pub fn draw(grant: &TokenGrant, name: &str) -> Result<Drawn, String> {
    if name.contains(|char: char| char.is_control()) {
        return Err(format!("the name {name:?} holds line breaks or the like"));
    }
    let mut bytes = [0; DRAWN_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the machine has no random numbers".to_owned())?;
    let token = format!("{PREFIX}{}", hex::encode(bytes));
    let line = format!("{} {} {} {name}", hex::encode(hash(token.as_bytes())), grant.tenants, grant.rights);
    Ok(Drawn { token: Secret::new(token), line: line.trim_end().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of `abc`.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_file_is_lines() {
        let text = format!("# tokens\n\n{ABC} team-a,team-b push,query the agents of a and b\n");
        let grants = parse(&text).unwrap();
        let grant = &grants[&hash(b"abc")];
        assert_eq!(
            (grant.tenants.to_string().as_str(), grant.rights.to_string().as_str()),
            ("team-a,team-b", "push,query")
        );
        assert!(grant.rights.has(Right::Push) && !grant.rights.has(Right::Admin));
        assert_eq!(grant.tenants.only(), None);
        assert_eq!(TenantScope::parse("a").unwrap().only(), Some(&TenantId::parse("a").unwrap()));
        assert!(TenantScope::parse("*").unwrap().allows(&TenantId::anonymous()));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn a_bad_line_is_told_by_its_number_and_not_repeated() {
        let told = |line: &str| parse(&format!("#\n{line}")).unwrap_err().to_string();
        assert!(told("flk_s3cret team-a push").starts_with("auth.tokens-file line 2: the first word is not a SHA-256"));
        assert!(!told("flk_s3cret team-a push").contains("s3cret"));
        assert!(told(ABC).contains("wants SHA-256, tenants and rights"));
        assert!(told(&format!("{ABC} team/a push")).contains("tenants \"team/a\""));
        assert!(told(&format!("{ABC} a read")).contains("right \"read\" is unknown: use push, query, admin"));
        assert!(told(&format!("{ABC} a push\n{ABC} b push")).contains("line 3: this token has a line above"));
    }

    #[test]
    fn the_last_good_file_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        assert!(matches!(Tokens::open(&path), Err(TokensError::Read { .. })));
        std::fs::write(&path, format!("{ABC} a push")).unwrap();
        let tokens = Tokens::open(&path).unwrap();
        assert!(tokens.find(b"abc").is_some() && tokens.find(b"abd").is_none());
        assert!(!tokens.reload().unwrap());
        std::fs::write(&path, "nonsense").unwrap();
        for _ in 0..2 {
            assert!(tokens.reload().is_err());
            assert!(tokens.find(b"abc").is_some());
        }
        std::fs::write(&path, "").unwrap();
        assert!(tokens.reload().unwrap());
        assert!(tokens.find(b"abc").is_none());
    }

    #[test]
    fn what_is_drawn_is_taken() {
        let grant = TokenGrant { tenants: TenantScope::parse("a,b").unwrap(), rights: Rights::parse("query").unwrap() };
        let drawn = draw(&grant, "grafana").unwrap();
        assert!(drawn.line.ends_with(" a,b query grafana") && !drawn.line.contains(drawn.token.expose()));
        assert_eq!(parse(&drawn.line).unwrap()[&hash(drawn.token.expose().as_bytes())], grant);
        assert_ne!(draw(&grant, "").unwrap().token, drawn.token);
        assert!(draw(&grant, "a\nb").is_err());
        assert!(!format!("{drawn:?}").contains(drawn.token.expose()));
    }

    #[test]
    fn fuzz_tokens_file() {
        let corpus = [format!("{ABC} team-a push\n# x\n"), format!("{ABC} * push,query,admin name\n")];
        flamelake_testkit::fuzz::run("fuzz_tokens_file", &corpus.map(String::into_bytes), |input| {
            let _ = parse(&String::from_utf8_lossy(input));
        });
    }
}
