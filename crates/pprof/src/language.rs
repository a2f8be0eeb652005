//! Which language a profile comes from (end of contract `ingest.md` section 1.7): Go profiles get repairs of their own.

/// A language that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "names of languages")]
pub enum Language {
    Go,
    Java,
    Ruby,
    NodeJs,
    Dotnet,
    Php,
    Python,
    Rust,
    /// None of them.
    Unknown,
}

/// Asked in this order for each text.
const MARKS: [(Language, &[&str]); 7] = [
    (Language::Go, &[".go", "/usr/local/go/"]),
    (Language::Java, &["java/", "sun/"]),
    (Language::Ruby, &[".rb", "gems/"]),
    (Language::NodeJs, &["./node_modules/", ".js"]),
    (Language::Dotnet, &["System.", "Microsoft."]),
    (Language::Python, &[".py"]),
    (Language::Rust, &["main.rs", "core.rs"]),
];

impl Language {
    /// As metrics and logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Java => "java",
            Self::Ruby => "ruby",
            Self::NodeJs => "nodejs",
            Self::Dotnet => "dotnet",
            Self::Php => "php",
            Self::Python => "python",
            Self::Rust => "rust",
            Self::Unknown => "unknown",
        }
    }

    /// From the label `pyroscope_spy`; `None` if it says nothing known.
    pub fn from_spy(spy: &str) -> Option<Self> {
        Some(match spy {
            "gospy" => Self::Go,
            "dotnetspy" => Self::Dotnet,
            "phpspy" => Self::Php,
            "pyspy" => Self::Python,
            "rbspy" => Self::Ruby,
            "nodespy" => Self::NodeJs,
            "javaspy" | "grafana-agent.java" => Self::Java,
            "pyroscope-rs" => Self::Rust,
            _ => return None,
        })
    }

    /// From the first text that starts or ends with a mark.
    pub(crate) fn from_texts<'a>(mut texts: impl Iterator<Item = &'a [u8]>) -> Self {
        texts.find_map(Self::of_text).unwrap_or(Self::Unknown)
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        let has = |mark: &&str| text.starts_with(mark.as_bytes()) || text.ends_with(mark.as_bytes());
        MARKS.iter().find(|(_, marks)| marks.iter().any(has)).map(|(language, _)| *language)
    }
}
