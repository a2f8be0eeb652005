//! Text to tree: Prometheus' grammar (its documentation, "Querying Prometheus" and "Operators") by precedence climbing.
//!
//! A parser of our own: the one on crates.io brings twenty crates, grammar tables that are decoded at each query, and compiles every regular
//! expression that a text names before anybody could count them. Invariants: the depth of a tree and the number of its nodes and of its
//! regular expressions are bounded before they are built, so neither dropping nor evaluating it can run out of stack.

mod lex;
mod selector;

use flamelake_model::StatusError;

use self::lex::{Token, lex};
use super::ast::{
    Aggregate, Aggregator, At, Binary, BinaryOp, Call, Expr, Grouping, Kind, Many, Matching, MatchingLabels, Query,
    Shift, Side, Subquery,
};
use super::functions;

/// Units of durations in milliseconds, the longest first.
pub(crate) const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Longest duration and latest moment: doubles count so far, and sums of some of them cannot overflow.
pub(crate) const SPAN_MS_MAX: i64 = 1 << 53;
/// Longest query.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Most nodes between the root and a leaf.
const DEPTH_MAX: usize = 100;
/// Most nodes.
const NODES_MAX: usize = 2_000;
/// Most regular expressions of one query: each may cost megabytes.
const REGEXES_MAX: usize = 64;
/// Precedence of a sign, which binds as tight as a multiplication: `-a ^ b` is `-(a ^ b)`, `-a * b` is `(-a) * b`.
const SIGN_OPERAND: u8 = 6;

/// A query from its text; `invalid_argument` with the position when it is none, or says what is not supported.
pub(crate) fn parse(text: &str) -> Result<Query, StatusError> {
    let mut parser = Parser::new(text)?;
    let node = parser.expression(0)?;
    parser.end()?;
    Ok(Query { root: node.expr, selectors: parser.selectors, subqueries: parser.subqueries })
}

/// A selector alone, as `match[]` has it.
pub(crate) fn parse_selector(text: &str) -> Result<super::ast::VectorSelector, StatusError> {
    match parse(text)?.root {
        Expr::Instant(selector) if selector.shift == Shift::default() => Ok(selector),
        _ => Err(lex::error(text, 0, "expected a vector selector and nothing else")),
    }
}

/// A duration alone, in milliseconds, as the parameter `step` has it.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    match lex(text).ok()?.as_slice() {
        [(Token::Duration(ms), _), (Token::End, _)] => Some(*ms),
        _ => None,
    }
}

/// A tree and the longest way down in it.
struct Node {
    expr: Expr,
    depth: usize,
    /// Where it begins.
    at: usize,
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, usize)>,
    next: usize,
    /// Open calls of [`Parser::expression`].
    nesting: usize,
    nodes: usize,
    regexes: usize,
    selectors: usize,
    subqueries: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, StatusError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(StatusError::invalid_argument(format!("the query is longer than {TEXT_BYTES_MAX} bytes")));
        }
        let tokens = lex(text)?;
        Ok(Self { text, tokens, next: 0, nesting: 0, nodes: 0, regexes: 0, selectors: 0, subqueries: 0 })
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(token, _)| token)
    }

    fn peek_second(&self) -> &Token {
        self.tokens.get(self.next + 1).map_or(&Token::End, |(token, _)| token)
    }

    fn position(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |(_, at)| *at)
    }

    fn advance(&mut self) {
        self.next += 1;
    }

    fn take(&mut self, mark: &str) -> bool {
        let found = matches!(self.peek(), Token::Mark(next) if *next == mark);
        self.next += usize::from(found);
        found
    }

    fn want(&mut self, mark: &str, context: &str) -> Result<(), StatusError> {
        if self.take(mark) { Ok(()) } else { Err(self.unexpected(context, &format!("{mark:?}"))) }
    }

    /// A keyword, in any case of letters.
    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.next += usize::from(found);
        found
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(name) if name.eq_ignore_ascii_case(word))
    }

    fn error(&self, at: usize, what: &str) -> StatusError {
        lex::error(self.text, at, what)
    }

    fn unexpected(&self, context: &str, expected: &str) -> StatusError {
        let found = match self.peek() {
            Token::End => "end of input".to_owned(),
            Token::Name(name) => format!("{name:?}"),
            Token::Number(_) | Token::Duration(_) => "number".to_owned(),
            Token::Text(text) => format!("string {text:?}"),
            Token::Mark(mark) => format!("{mark:?}"),
        };
        self.error(self.position(), &format!("unexpected {found} in {context}, expected {expected}"))
    }

    fn end(&self) -> Result<(), StatusError> {
        if *self.peek() == Token::End { Ok(()) } else { Err(self.unexpected("query", "an operator or the end")) }
    }

    /// Checks the bounds of a tree one level higher than its parts.
    fn node(&mut self, expr: Expr, depth: usize, at: usize) -> Result<Node, StatusError> {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            let what = format!("the query is nested deeper than {DEPTH_MAX} or has more than {NODES_MAX} parts");
            return Err(self.error(at, &what));
        }
        Ok(Node { expr, depth, at })
    }

    /// Operators that bind at least as tight as `weakest`, and their operands.
    fn expression(&mut self, weakest: u8) -> Result<Node, StatusError> {
        self.nesting += 1;
        if self.nesting > DEPTH_MAX {
            return Err(self.error(self.position(), &format!("the query is nested deeper than {DEPTH_MAX}")));
        }
        let mut left = self.signed()?;
        while let Some(op) = self.operator().filter(|op| op.precedence() >= weakest.max(1)) {
            let at = self.position();
            self.advance();
            left = self.binary(left, op, at)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    fn operator(&self) -> Option<BinaryOp> {
        match self.peek() {
            Token::Mark(mark) => BinaryOp::by_name(mark),
            Token::Name(name) => BinaryOp::by_name(name),
            _ => None,
        }
    }

    fn signed(&mut self) -> Result<Node, StatusError> {
        let at = self.position();
        let (minus, plus) = (self.take("-"), self.take("+"));
        if !minus && !plus {
            let primary = self.primary()?;
            return self.postfix(primary);
        }
        let operand = self.expression(SIGN_OPERAND)?;
        let kind = operand.expr.kind();
        if !matches!(kind, Kind::Scalar | Kind::Vector) {
            let what = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                kind.name()
            );
            return Err(self.error(at, &what));
        }
        match operand.expr {
            expr if !minus => Ok(Node { expr, ..operand }),
            Expr::Number(number) => self.node(Expr::Number(-number), 1, at),
            expr => self.node(Expr::Negated(Box::new(expr)), operand.depth + 1, at),
        }
    }

    fn binary(&mut self, left: Node, op: BinaryOp, at: usize) -> Result<Node, StatusError> {
        let bool = self.take_word("bool");
        let matching = self.matching()?;
        let weakest = op.precedence() + u8::from(op != BinaryOp::Power);
        let right = self.expression(weakest)?;
        let (Node { expr: left, depth: left_depth, .. }, Node { expr: right, depth: right_depth, .. }) = (left, right);
        let given = matching.is_some();
        let binary = Binary { op, left, right, bool, matching: matching.unwrap_or_default() };
        check_binary(&binary, given).map_err(|what| self.error(at, &what))?;
        self.node(Expr::Binary(Box::new(binary)), left_depth.max(right_depth) + 1, at)
    }

    fn matching(&mut self) -> Result<Option<Matching>, StatusError> {
        let labels = if self.take_word("on") {
            MatchingLabels::On(self.names("on")?)
        } else if self.take_word("ignoring") {
            MatchingLabels::Ignoring(self.names("ignoring")?)
        } else {
            return Ok(None);
        };
        let side = if self.take_word("group_left") {
            Some(Side::Left)
        } else if self.take_word("group_right") {
            Some(Side::Right)
        } else {
            None
        };
        let Some(side) = side else { return Ok(Some(Matching { labels, many: None })) };
        let has_list = matches!(self.peek(), Token::Mark("("));
        let include = if has_list { self.names("grouping")? } else { Vec::new() };
        if let MatchingLabels::On(on) = &labels
            && let Some(both) = include.iter().find(|name| on.contains(name))
        {
            let what = format!("label {both:?} must not occur in ON and GROUP clause at once");
            return Err(self.error(self.position(), &what));
        }
        Ok(Some(Matching { labels, many: Some(Many { side, include }) }))
    }

    /// `(a, "b.c")`
    fn names(&mut self, context: &str) -> Result<Vec<String>, StatusError> {
        self.want("(", context)?;
        let mut names = Vec::new();
        while !self.take(")") {
            match self.peek() {
                Token::Name(name) | Token::Text(name) if !name.is_empty() => names.push(name.clone()),
                _ => return Err(self.unexpected(context, "label")),
            }
            self.advance();
            if !self.take(",") && !matches!(self.peek(), Token::Mark(")")) {
                return Err(self.unexpected(context, "\",\" or \")\""));
            }
        }
        Ok(names)
    }

    fn primary(&mut self) -> Result<Node, StatusError> {
        let at = self.position();
        match self.peek().clone() {
            Token::Number(number) => {
                self.advance();
                self.node(Expr::Number(number), 1, at)
            }
            Token::Duration(ms) => {
                self.advance();
                self.node(Expr::Number(ms as f64 / 1000.0), 1, at)
            }
            Token::Text(text) => {
                self.advance();
                self.node(Expr::Text(text), 1, at)
            }
            Token::Mark("(") => {
                self.advance();
                let Node { expr, depth, .. } = self.expression(0)?;
                self.want(")", "paren expression")?;
                self.node(Expr::Group(Box::new(expr)), depth + 1, at)
            }
            Token::Mark("{") => self.instant(None, at),
            Token::Name(name) => self.named(name, at),
            _ => Err(self.unexpected("query", "an expression")),
        }
    }

    /// What begins with a name: an aggregation, a function or a metric.
    fn named(&mut self, name: String, at: usize) -> Result<Node, StatusError> {
        let called = matches!(self.peek_second(), Token::Mark("("));
        let grouped = matches!(self.peek_second(), Token::Name(word) if ["by", "without"].contains(&word.to_ascii_lowercase().as_str()));
        self.advance();
        match Aggregator::by_name(&name) {
            Some(op) if called || grouped => return self.aggregate(op, at),
            _ if called => return self.call(&name, at),
            _ => {}
        }
        self.instant(Some(name), at)
    }

    fn instant(&mut self, name: Option<String>, at: usize) -> Result<Node, StatusError> {
        let selector = self.selector(name, at)?;
        self.node(Expr::Instant(selector), 1, at)
    }

    fn aggregate(&mut self, op: Aggregator, at: usize) -> Result<Node, StatusError> {
        let before = self.grouping()?;
        let (mut arguments, depth) = self.arguments("aggregation")?;
        let after = if before.is_none() { self.grouping()? } else { None };
        let wanted = 1 + usize::from(op.parameter().is_some());
        if arguments.len() != wanted {
            let what = format!(
                "wrong number of arguments for aggregate expression {}, expected {wanted}, got {}",
                op.name(),
                arguments.len()
            );
            return Err(self.error(at, &what));
        }
        let context = format!("aggregation {}", op.name());
        let Some(expr) = arguments.pop() else { return Err(self.unexpected(&context, "an expression")) };
        self.want_kind(&expr, Kind::Vector, &context)?;
        let parameter = arguments.pop();
        if let (Some(parameter), Some(kind)) = (&parameter, op.parameter()) {
            self.want_kind(parameter, kind, &context)?;
        }
        let grouping = before.or(after).unwrap_or(Grouping::By(Vec::new()));
        let aggregate = Aggregate { op, grouping, parameter: parameter.map(|node| node.expr), expr: expr.expr };
        self.node(Expr::Aggregate(Box::new(aggregate)), depth + 1, at)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, StatusError> {
        if self.take_word("by") {
            return Ok(Some(Grouping::By(self.names("grouping")?)));
        }
        if self.take_word("without") {
            return Ok(Some(Grouping::Without(self.names("grouping")?)));
        }
        Ok(None)
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Node, StatusError> {
        let function = functions::find(name).map_err(|what| self.error(at, &what))?;
        let (arguments, depth) = self.arguments(&format!("call of {name}()"))?;
        let (least, most) = (function.takes.len() - function.optional, function.takes.len());
        let most = if function.repeats_last { usize::MAX } else { most };
        if !(least..=most).contains(&arguments.len()) {
            let what = format!(
                "expected {}{least} argument(s) in call to {name:?}, got {}",
                if least == most { "" } else { "at least " },
                arguments.len()
            );
            return Err(self.error(at, &what));
        }
        let kinds = function.takes.iter().chain(std::iter::repeat(function.takes.last().unwrap_or(&Kind::Scalar)));
        for (argument, kind) in arguments.iter().zip(kinds) {
            self.want_kind(argument, *kind, &format!("call to function {name:?}"))?;
        }
        let arguments = arguments.into_iter().map(|node| node.expr).collect();
        self.node(Expr::Call(Call { function, arguments }), depth + 1, at)
    }

    /// `(a, b)`, and the deepest of them.
    fn arguments(&mut self, context: &str) -> Result<(Vec<Node>, usize), StatusError> {
        self.want("(", context)?;
        let (mut arguments, mut depth) = (Vec::new(), 0);
        while !self.take(")") {
            let argument = self.expression(0)?;
            depth = depth.max(argument.depth);
            arguments.push(argument);
            if !self.take(",") && !matches!(self.peek(), Token::Mark(")")) {
                return Err(self.unexpected(context, "\",\" or \")\""));
            }
        }
        Ok((arguments, depth))
    }

    fn want_kind(&self, node: &Node, kind: Kind, context: &str) -> Result<(), StatusError> {
        let found = node.expr.kind();
        if found == kind {
            return Ok(());
        }
        let what = format!("expected type {} in {context}, got {}", kind.name(), found.name());
        Err(self.error(node.at, &what))
    }
}

/// What an operator wants of its operands.
fn check_binary(binary: &Binary, has_matching: bool) -> Result<(), String> {
    let (left, right) = (binary.left.kind(), binary.right.kind());
    if [left, right].iter().any(|kind| !matches!(kind, Kind::Scalar | Kind::Vector)) {
        return Err("binary expression must contain only scalar and instant vector types".to_owned());
    }
    let scalars = [left, right].iter().filter(|kind| **kind == Kind::Scalar).count();
    if binary.bool && !binary.op.is_comparison() {
        return Err("bool modifier can only be used on comparison operators".to_owned());
    }
    if binary.op.is_comparison() && scalars == 2 && !binary.bool {
        return Err("comparisons between scalars must use BOOL modifier".to_owned());
    }
    if has_matching && scalars > 0 {
        return Err("vector matching only allowed between instant vectors".to_owned());
    }
    if binary.op.is_set() && scalars > 0 {
        return Err(format!("set operator {:?} not allowed in binary scalar expression", binary.op.name()));
    }
    if binary.op.is_set() && binary.matching.many.is_some() {
        return Err(format!("no grouping allowed for {:?} operation", binary.op.name()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
