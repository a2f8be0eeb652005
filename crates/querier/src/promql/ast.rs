//! PromQL as a tree. A tree from [`parse`](super::parse::parse) is sound: arguments have the kinds that their function wants, modifiers stand where
//! they may, and neither its depth nor its number of nodes is unbounded.

use std::fmt::{self, Write as _};

use flamelake_model::label_name;
use flamelake_model::selector::{MatchOp, Matcher, quote};

use super::functions::Function;

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar,
    /// An instant vector.
    Vector,
    /// A range vector.
    Range,
    Text,
}

impl Kind {
    /// As error texts have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Range => "range vector",
            Self::Text => "string",
        }
    }
}

/// A whole query.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) root: Expr,
    /// Numbers of selectors are below this.
    pub(crate) selectors: usize,
    /// Numbers of subqueries are below this.
    pub(crate) subqueries: usize,
}

/// A node.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Number(f64),
    Text(String),
    /// The newest sample of each series.
    Instant(VectorSelector),
    /// The samples of the last so many milliseconds.
    Range(VectorSelector, i64),
    Subquery(Box<Subquery>),
    Call(Call),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Negated(Box<Expr>),
    /// In parentheses.
    Group(Box<Expr>),
}

impl Expr {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Number(_) => Kind::Scalar,
            Self::Text(_) => Kind::Text,
            Self::Instant(_) | Self::Aggregate(_) => Kind::Vector,
            Self::Range(..) | Self::Subquery(_) => Kind::Range,
            Self::Call(call) => call.function.gives,
            Self::Binary(binary) => match (binary.left.kind(), binary.right.kind()) {
                (Kind::Scalar, Kind::Scalar) => Kind::Scalar,
                _ => Kind::Vector,
            },
            Self::Negated(inner) | Self::Group(inner) => inner.kind(),
        }
    }

    /// Without parentheses around it.
    pub(crate) fn bare(&self) -> &Self {
        match self {
            Self::Group(inner) => inner.bare(),
            other => other,
        }
    }
}

/// Which series.
#[derive(Clone, Debug)]
pub(crate) struct VectorSelector {
    /// Of this selector in its query.
    pub(crate) id: usize,
    /// The metric's name where it stands before the braces.
    pub(crate) name: Option<String>,
    /// That name is among them.
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) shift: Shift,
}

/// At which moment, seen from the one that is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Shift {
    /// Milliseconds back.
    pub(crate) offset_ms: Option<i64>,
    pub(crate) at: Option<At>,
}

/// `@`
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum At {
    Start,
    End,
    /// Milliseconds since the epoch.
    Time(i64),
}

/// `expr[1h:1m]`
#[derive(Clone, Debug)]
pub(crate) struct Subquery {
    /// Of this subquery in its query.
    pub(crate) id: usize,
    pub(crate) expr: Expr,
    pub(crate) range_ms: i64,
    pub(crate) step_ms: Option<i64>,
    pub(crate) shift: Shift,
}

/// `rate(…)`
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: &'static Function,
    pub(crate) arguments: Vec<Expr>,
}

/// `sum by (…) (…)`
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub(crate) op: Aggregator,
    pub(crate) grouping: Grouping,
    /// Of `topk` and its like.
    pub(crate) parameter: Option<Expr>,
    pub(crate) expr: Expr,
}

/// What an aggregation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregator {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    StdDev,
    StdVar,
    TopK,
    BottomK,
    Quantile,
    CountValues,
}

impl Aggregator {
    const NAMES: [(&str, Self); 12] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("min", Self::Min),
        ("max", Self::Max),
        ("count", Self::Count),
        ("group", Self::Group),
        ("stddev", Self::StdDev),
        ("stdvar", Self::StdVar),
        ("topk", Self::TopK),
        ("bottomk", Self::BottomK),
        ("quantile", Self::Quantile),
        ("count_values", Self::CountValues),
    ];

    /// In any case of letters.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, op)| *op)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    /// What stands before the expression.
    pub(crate) fn parameter(self) -> Option<Kind> {
        match self {
            Self::TopK | Self::BottomK | Self::Quantile => Some(Kind::Scalar),
            Self::CountValues => Some(Kind::Text),
            _ => None,
        }
    }
}

/// Which labels tell groups apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grouping {
    By(Vec<String>),
    Without(Vec<String>),
}

/// `a + b`
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) op: BinaryOp,
    pub(crate) left: Expr,
    pub(crate) right: Expr,
    /// A comparison gives 0 or 1 and does not filter.
    pub(crate) bool: bool,
    /// Which elements of two vectors meet.
    pub(crate) matching: Matching,
}

/// Which elements of two vectors meet; the default is that all their labels are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matching {
    pub(crate) labels: MatchingLabels,
    pub(crate) many: Option<Many>,
}

/// `on` and `ignoring`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MatchingLabels {
    On(Vec<String>),
    Ignoring(Vec<String>),
}

impl Default for MatchingLabels {
    fn default() -> Self {
        Self::Ignoring(Vec::new())
    }
}

/// `group_left` and `group_right`, with the labels that come from the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Many {
    pub(crate) side: Side,
    pub(crate) include: Vec<String>,
}

/// The side that may have several elements for one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// An operator between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BinaryOp {
    Or,
    And,
    Unless,
    Equal,
    NotEqual,
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Atan2,
    Power,
}

impl BinaryOp {
    /// The longer of two that begin alike first.
    const NAMES: [(&str, Self); 16] = [
        ("or", Self::Or),
        ("and", Self::And),
        ("unless", Self::Unless),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<=", Self::LessOrEqual),
        ("<", Self::Less),
        (">=", Self::GreaterOrEqual),
        (">", Self::Greater),
        ("+", Self::Add),
        ("-", Self::Subtract),
        ("*", Self::Multiply),
        ("/", Self::Divide),
        ("%", Self::Modulo),
        ("atan2", Self::Atan2),
        ("^", Self::Power),
    ];

    /// Words in any case of letters.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, op)| *op)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    pub(crate) fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    pub(crate) fn is_comparison(self) -> bool {
        self.precedence() == 3
    }

    /// Higher binds tighter.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Equal | Self::NotEqual | Self::LessOrEqual | Self::Less | Self::GreaterOrEqual | Self::Greater => 3,
            Self::Add | Self::Subtract => 4,
            Self::Multiply | Self::Divide | Self::Modulo | Self::Atan2 => 5,
            Self::Power => 6,
        }
    }
}

impl fmt::Display for Expr {
    /// In one line; parses back to the same tree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{}", super::document::Value(*number)),
            Self::Text(text) => f.write_str(&quote(text)),
            Self::Instant(selector) => write!(f, "{selector}{}", selector.shift),
            Self::Range(selector, range) => write!(f, "{selector}[{}]{}", Span(*range), selector.shift),
            Self::Subquery(subquery) => {
                let step = subquery.step_ms.map(|step| Span(step).to_string()).unwrap_or_default();
                write!(f, "{}[{}:{step}]{}", subquery.expr, Span(subquery.range_ms), subquery.shift)
            }
            Self::Call(call) => write!(f, "{}({})", call.function.name, list(&call.arguments)),
            Self::Aggregate(aggregate) => {
                f.write_str(aggregate.op.name())?;
                match &aggregate.grouping {
                    Grouping::By(names) if names.is_empty() => f.write_str("(")?,
                    Grouping::By(names) => write!(f, " by ({}) (", Names(names))?,
                    Grouping::Without(names) => write!(f, " without ({}) (", Names(names))?,
                }
                if let Some(parameter) = &aggregate.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            Self::Binary(binary) => {
                write!(f, "{} {}{} {}", binary.left, binary.op.name(), Modifiers(binary), binary.right)
            }
            Self::Negated(inner) => write!(f, "-{inner}"),
            Self::Group(inner) => write!(f, "({inner})"),
        }
    }
}

impl fmt::Display for VectorSelector {
    /// Without its shift.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_name = |matcher: &Matcher| {
            matcher.name() == label_name::NAME
                && matcher.op() == MatchOp::Equal
                && self.name.as_deref() == Some(matcher.value())
        };
        let texts: Vec<String> = self
            .matchers
            .iter()
            .filter(|matcher| !is_name(matcher))
            .map(|matcher| format!("{}{}{}", Name(matcher.name()), matcher.op().as_str(), quote(matcher.value())))
            .collect();
        match &self.name {
            Some(name) if texts.is_empty() => f.write_str(name),
            name => write!(f, "{}{{{}}}", name.as_deref().unwrap_or_default(), texts.join(",")),
        }
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            None => {}
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
            Some(At::Time(ms)) => write!(f, " @ {}", ms as f64 / 1000.0)?,
        }
        match self.offset_ms {
            None => Ok(()),
            Some(ms) => write!(f, " offset {}{}", if ms < 0 { "-" } else { "" }, Span(ms.saturating_abs())),
        }
    }
}

/// What stands behind an operator.
struct Modifiers<'a>(&'a Binary);

impl fmt::Display for Modifiers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.bool {
            f.write_str(" bool")?;
        }
        match &self.0.matching.labels {
            MatchingLabels::On(names) => write!(f, " on ({})", Names(names))?,
            MatchingLabels::Ignoring(names) if names.is_empty() && self.0.matching.many.is_none() => {}
            MatchingLabels::Ignoring(names) => write!(f, " ignoring ({})", Names(names))?,
        }
        match &self.0.matching.many {
            None => Ok(()),
            Some(Many { side: Side::Left, include }) => write!(f, " group_left ({})", Names(include)),
            Some(Many { side: Side::Right, include }) => write!(f, " group_right ({})", Names(include)),
        }
    }
}

struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|name| Name(name).to_string()).collect();
        f.write_str(&names.join(", "))
    }
}

/// A label's name, quoted where it must be.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::labels::is_legacy_name(self.0) { f.write_str(self.0) } else { f.write_str(&quote(self.0)) }
    }
}

/// Milliseconds as `1h30m`.
pub(crate) struct Span(pub(crate) i64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut text) = (self.0, String::new());
        for (unit, ms) in super::parse::UNITS {
            if rest / ms > 0 {
                write!(text, "{}{unit}", rest / ms)?;
                rest %= ms;
            }
        }
        f.write_str(if text.is_empty() { "0s" } else { &text })
    }
}

fn list(expressions: &[Expr]) -> String {
    let texts: Vec<String> = expressions.iter().map(ToString::to_string).collect();
    texts.join(", ")
}
