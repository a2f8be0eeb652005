//! A member of the cluster as it is kept (`docs/formats/ring.md`).

use std::fmt;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Version of the stored form.
pub const FORMAT: u32 = 1;
/// More tokens are refused.
pub const TOKENS_MAX: usize = 4096;
const ID_BYTES_MAX: usize = 128;

/// Name of a member: 1 to 128 letters, digits, `-`, `_`, `.`; not `.` or `..`, for it is also a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct MemberId(String);

impl MemberId {
    /// Checks it; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > ID_BYTES_MAX || matches!(text, "." | "..") || !text.chars().all(good) {
            return Err(format!("member id {text:?} is not 1 to {ID_BYTES_MAX} letters, digits, '-', '_' or '.'"));
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MemberId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Accepts profiles.
    Distributor,
    /// Makes them durable and keeps the recent ones.
    Ingester,
    /// Answers for blocks.
    StoreGateway,
    /// The query API.
    Querier,
    /// Merges blocks.
    Compactor,
    /// Of a newer version than ours.
    #[serde(other)]
    Unknown,
}

impl Role {
    /// All that we know.
    pub const ALL: [Self; 5] = [Self::Distributor, Self::Ingester, Self::StoreGateway, Self::Querier, Self::Compactor];

    /// As it is written everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Distributor => "distributor",
            Self::Ingester => "ingester",
            Self::StoreGateway => "store-gateway",
            Self::Querier => "querier",
            Self::Compactor => "compactor",
            Self::Unknown => "unknown",
        }
    }

    /// Does anything belong to a member of this role by its tokens?
    pub fn owns(self) -> bool {
        matches!(self, Self::Ingester | Self::StoreGateway | Self::Compactor)
    }
}

/// Where a member is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Registered, takes no work yet.
    Joining,
    /// At work.
    Active,
    /// Takes no new work, still answers.
    Leaving,
    /// Of a newer version than ours.
    #[serde(other)]
    Unknown,
}

impl State {
    /// As it is written everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joining => "JOINING",
            Self::Active => "ACTIVE",
            Self::Leaving => "LEAVING",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// One member. Liveness is kept apart ([`Alive`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// [`FORMAT`].
    pub format: u32,
    /// Its name.
    pub id: MemberId,
    /// Drawn at each start.
    pub incarnation: Ulid,
    /// What it does.
    pub roles: Vec<Role>,
    /// Host and port of its gRPC.
    pub address: String,
    /// Members of one zone fail together. Empty = none.
    #[serde(default)]
    pub zone: String,
    /// Where it is in its life.
    pub state: State,
    /// Where its log lies; `None` = nothing must be recovered when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_url: Option<String>,
    /// Unix milliseconds of the first registration.
    pub registered_at_ms: i64,
    /// Since when it takes no writes, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only_since_ms: Option<i64>,
    /// Ascending.
    pub tokens: Vec<u32>,
}

impl Member {
    /// Has it this role?
    pub fn has_role(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// May its log be recovered by a peer? One on its own disk cannot be.
    pub fn log_is_shared(&self) -> bool {
        self.log_url.as_deref().is_some_and(|url| !url.starts_with("file:"))
    }

    /// As stored.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of texts and numbers is JSON")
    }

    /// Reads what is stored under `id`; the error says why it is not usable.
    pub fn from_json(id: &MemberId, bytes: &[u8]) -> Result<Self, String> {
        let mut member: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if member.format > FORMAT {
            return Err(format!("format {} is newer than {FORMAT}", member.format));
        }
        if member.id != *id {
            return Err(format!("it names itself {}", member.id));
        }
        if member.tokens.len() > TOKENS_MAX {
            return Err(format!("{} tokens are more than {TOKENS_MAX}", member.tokens.len()));
        }
        member.tokens.sort_unstable();
        member.tokens.dedup();
        Ok(member)
    }
}

/// Sign of life; vanishes with the lease it is kept under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// Which start of the member lives.
    pub incarnation: Ulid,
    /// Unix milliseconds.
    pub started_at_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = r#"{"format":1,"id":"a-0","incarnation":"01ARZ3NDEKTSV4RRFFQ69G5FAV","roles":["ingester","store-gateway"],"address":"a-0:9095","zone":"z","state":"ACTIVE","log_url":"bucket","registered_at_ms":7,"tokens":[1,2]}"#;

    fn id(text: &str) -> MemberId {
        MemberId::parse(text).unwrap()
    }

    #[test]
    fn the_stored_form_stays() {
        let member = Member::from_json(&id("a-0"), STORED.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(member.to_json()).unwrap(), STORED);
    }

    #[test]
    fn newer_words_are_read_and_newer_formats_are_not() {
        let newer =
            STORED.replace("store-gateway", "symbolizer").replace("ACTIVE", "DREAMING").replace(":7", ":7,\"x\":1");
        let member = Member::from_json(&id("a-0"), newer.as_bytes()).unwrap();
        assert_eq!((member.roles[1], member.state), (Role::Unknown, State::Unknown));
        let error = |text: &str| Member::from_json(&id("a-0"), text.as_bytes()).unwrap_err();
        assert_eq!(error(&STORED.replace(":1,\"id", ":2,\"id")), "format 2 is newer than 1");
        assert_eq!(error(&STORED.replace("a-0\",\"inc", "b\",\"inc")), "it names itself b");
        assert!(!error("{}").is_empty());
    }

    #[test]
    fn ids_are_names_of_folders() {
        for bad in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(MemberId::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(id("Ingester-0_a.b").as_str(), "Ingester-0_a.b");
    }
}
