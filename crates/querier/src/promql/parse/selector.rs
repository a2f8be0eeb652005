//! Selectors and what stands behind them: ranges, subqueries, `offset` and `@`.

use flamelake_model::selector::{MatchOp, Matcher};
use flamelake_model::{StatusError, label_name};

use super::{At, Expr, Kind, Node, Parser, REGEXES_MAX, SPAN_MS_MAX, Shift, Subquery, Token};
use crate::promql::ast::VectorSelector;

impl Parser<'_> {
    /// Matchers in braces, if there are any; the name before them is taken.
    pub(super) fn selector(&mut self, name: Option<String>, at: usize) -> Result<VectorSelector, StatusError> {
        let mut matchers = Vec::new();
        if let Some(name) = &name {
            matchers.push(Matcher::new(label_name::NAME, MatchOp::Equal, name)?);
        }
        if self.take("{") {
            while !self.take("}") {
                let matcher = self.matcher()?;
                if name.is_some() && matcher.name() == label_name::NAME {
                    return Err(self.error(at, "metric name must not be set twice"));
                }
                matchers.push(matcher);
                if !self.take(",") && !matches!(self.peek(), Token::Mark("}")) {
                    return Err(self.unexpected("label matching", "\",\" or \"}\""));
                }
            }
        }
        if matchers.iter().all(|matcher| matcher.matches_value("")) {
            return Err(self.error(at, "vector selector must contain at least one non-empty matcher"));
        }
        let id = self.selectors;
        self.selectors += 1;
        Ok(VectorSelector { id, name, matchers, shift: Shift::default() })
    }

    /// `name="value"`, `"a.name"="value"`, or a metric's name in quotes.
    fn matcher(&mut self) -> Result<Matcher, StatusError> {
        let at = self.position();
        let (name, quoted) = match self.peek().clone() {
            Token::Name(name) => (name, false),
            Token::Text(name) => (name, true),
            _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
        };
        self.advance();
        let op = match self.peek() {
            Token::Mark("=") => MatchOp::Equal,
            Token::Mark("!=") => MatchOp::NotEqual,
            Token::Mark("=~") => MatchOp::Matches,
            Token::Mark("!~") => MatchOp::MatchesNot,
            Token::Mark("," | "}") if quoted => return Matcher::new(label_name::NAME, MatchOp::Equal, &name),
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.advance();
        let Token::Text(value) = self.peek().clone() else {
            return Err(self.unexpected("label matching", "string"));
        };
        self.advance();
        if name.is_empty() {
            return Err(self.error(at, "a label name is empty"));
        }
        if matches!(op, MatchOp::Matches | MatchOp::MatchesNot) {
            self.regexes += 1;
            if self.regexes > REGEXES_MAX {
                return Err(self.error(at, &format!("the query has more than {REGEXES_MAX} regular expressions")));
            }
        }
        Matcher::new(&name, op, &value).map_err(|error| self.error(at, &error.message))
    }

    /// Everything that may follow an expression.
    pub(super) fn postfix(&mut self, mut node: Node) -> Result<Node, StatusError> {
        loop {
            let at = self.position();
            if self.take("[") {
                node = self.brackets(node)?;
            } else if self.take_word("offset") {
                let offset = self.offset()?;
                let Some(shift) = shift(&mut node.expr) else { return Err(self.misplaced(at, "offset")) };
                if shift.offset_ms.replace(offset).is_some() {
                    return Err(self.error(at, "offset may not be set multiple times"));
                }
            } else if self.take("@") {
                let moment = self.moment()?;
                let Some(shift) = shift(&mut node.expr) else { return Err(self.misplaced(at, "@")) };
                if shift.at.replace(moment).is_some() {
                    return Err(self.error(at, "@ <timestamp> may not be set multiple times"));
                }
            } else {
                return Ok(node);
            }
        }
    }

    fn misplaced(&self, at: usize, modifier: &str) -> StatusError {
        let what = format!(
            "{modifier} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
        );
        self.error(at, &what)
    }

    /// `[5m]` or `[1h:5m]`; the opening one is taken.
    fn brackets(&mut self, node: Node) -> Result<Node, StatusError> {
        let at = self.position();
        let range_ms = self.positive_duration()?;
        if self.take(":") {
            let step_ms = match self.peek() {
                Token::Mark("]") => None,
                _ => Some(self.positive_duration()?),
            };
            self.want("]", "subquery")?;
            if node.expr.kind() != Kind::Vector {
                let what = format!("subquery is only allowed on instant vector, got {}", node.expr.kind().name());
                return Err(self.error(node.at, &what));
            }
            let id = self.subqueries;
            self.subqueries += 1;
            let subquery = Subquery { id, expr: node.expr, range_ms, step_ms, shift: Shift::default() };
            return self.node(Expr::Subquery(Box::new(subquery)), node.depth + 1, node.at);
        }
        self.want("]", "range")?;
        match node.expr {
            Expr::Instant(selector) if selector.shift == Shift::default() => {
                Ok(Node { expr: Expr::Range(selector, range_ms), ..node })
            }
            Expr::Instant(_) => Err(self.error(at, "no offset and no @ modifiers allowed before range")),
            _ => Err(self.error(at, "ranges only allowed for vector selectors")),
        }
    }

    fn positive_duration(&mut self) -> Result<i64, StatusError> {
        let at = self.position();
        match self.duration()? {
            ms if ms > 0 => Ok(ms),
            _ => Err(self.error(at, "duration must be greater than 0")),
        }
    }

    /// A duration, or a number of seconds.
    fn duration(&mut self) -> Result<i64, StatusError> {
        let at = self.position();
        let ms = match *self.peek() {
            Token::Duration(ms) => ms,
            Token::Number(seconds) => milliseconds(seconds).ok_or_else(|| self.error(at, "duration out of range"))?,
            _ => return Err(self.unexpected("duration", "a duration")),
        };
        self.advance();
        Ok(ms)
    }

    fn offset(&mut self) -> Result<i64, StatusError> {
        let minus = self.take("-");
        if !minus {
            self.take("+");
        }
        let ms = self.duration()?;
        Ok(if minus { -ms } else { ms })
    }

    fn moment(&mut self) -> Result<At, StatusError> {
        let at = self.position();
        for (word, moment) in [("start", At::Start), ("end", At::End)] {
            if self.take_word(word) {
                self.want("(", "@ modifier")?;
                self.want(")", "@ modifier")?;
                return Ok(moment);
            }
        }
        let minus = self.take("-");
        if !minus {
            self.take("+");
        }
        let Token::Number(seconds) = *self.peek() else {
            return Err(self.unexpected("@ modifier", "timestamp, start() or end()"));
        };
        self.advance();
        let seconds = if minus { -seconds } else { seconds };
        milliseconds(seconds).map(At::Time).ok_or_else(|| self.error(at, "timestamp out of bounds for @ modifier"))
    }
}

/// Seconds to whole milliseconds.
fn milliseconds(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round();
    (ms.abs() <= SPAN_MS_MAX as f64).then_some(ms as i64)
}

fn shift(expr: &mut Expr) -> Option<&mut Shift> {
    match expr {
        Expr::Instant(selector) | Expr::Range(selector, _) => Some(&mut selector.shift),
        Expr::Subquery(subquery) => Some(&mut subquery.shift),
        _ => None,
    }
}
