//! Text to words: names, numbers, durations, strings and marks, each with where it stands.

use flamelake_model::StatusError;
use flamelake_model::selector::unquote;

use super::{SPAN_MS_MAX, UNITS};

/// A word of a query.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name of a metric, a label or a function, or a keyword.
    Name(String),
    Number(f64),
    /// Milliseconds.
    Duration(i64),
    Text(String),
    /// An operator, a bracket or a comma.
    Mark(&'static str),
    End,
}

/// Those that begin with another one come before it.
const MARKS: [&str; 25] = [
    "==", "=~", "!=", "!~", "<=", ">=", "=", "<", ">", "+", "-", "*", "/", "%", "^", "(", ")", "{", "}", "[", "]", ",",
    "@", ":", "!",
];

/// Words and the byte at which each begins; the last one is the end.
pub(super) fn lex(text: &str) -> Result<Vec<(Token, usize)>, StatusError> {
    let mut lexer = Lexer { text, at: 0, brackets: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let at = lexer.at;
        let token = lexer.token()?;
        let is_end = token == Token::End;
        tokens.push((token, at));
        if is_end {
            return Ok(tokens);
        }
    }
}

/// An error at a byte of the text, as Prometheus words it.
pub(super) fn error(text: &str, at: usize, what: &str) -> StatusError {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    StatusError::invalid_argument(format!("{line}:{column}: parse error: {what}"))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Open square ones: a colon inside is no part of a name.
    brackets: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        while let Some(char) = self.rest().chars().next() {
            match char {
                '#' => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
                ' ' | '\t' | '\n' | '\r' => self.at += 1,
                _ => break,
            }
        }
    }

    fn token(&mut self) -> Result<Token, StatusError> {
        let mut chars = self.rest().chars();
        let Some(char) = chars.next() else { return Ok(Token::End) };
        let second_is_digit = chars.next().is_some_and(|char| char.is_ascii_digit());
        match char {
            '"' | '\'' | '`' => self.string(),
            '0'..='9' => self.number(),
            '.' if second_is_digit => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => Ok(self.name()),
            ':' if self.brackets == 0 => Ok(self.name()),
            _ => self.mark(),
        }
    }

    fn mark(&mut self) -> Result<Token, StatusError> {
        let found = MARKS.iter().find(|mark| self.rest().starts_with(**mark));
        let Some(mark) = found else {
            let char = self.rest().chars().next().unwrap_or_default();
            return Err(error(self.text, self.at, &format!("unexpected character: {char:?}")));
        };
        match *mark {
            "[" => self.brackets += 1,
            "]" => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        self.at += mark.len();
        Ok(Token::Mark(mark))
    }

    fn name(&mut self) -> Token {
        let colon = self.brackets == 0;
        let fits = |char: char| char.is_ascii_alphanumeric() || char == '_' || (colon && char == ':');
        let name = self.take_while(fits);
        match name.to_ascii_lowercase().as_str() {
            "inf" => Token::Number(f64::INFINITY),
            "nan" => Token::Number(f64::NAN),
            _ => Token::Name(name.to_owned()),
        }
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|char| !fits(char)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn string(&mut self) -> Result<Token, StatusError> {
        let (text, bytes) = unquote(self.rest()).map_err(|why| error(self.text, self.at, &why))?;
        self.at += bytes;
        Ok(Token::Text(text))
    }

    /// A number or a duration: what begins with a digit and a unit is a duration.
    fn number(&mut self) -> Result<Token, StatusError> {
        let start = self.at;
        if let Some(digits) = self.rest().strip_prefix("0x").or_else(|| self.rest().strip_prefix("0X")) {
            let end = digits.find(|char: char| !char.is_ascii_hexdigit()).unwrap_or(digits.len());
            self.at += 2 + end;
            let number = u64::from_str_radix(&digits[..end], 16).ok();
            return match number.filter(|_| self.ends_here()) {
                Some(number) => Ok(Token::Number(number as f64)),
                None => Err(self.bad_number(start)),
            };
        }
        let whole = self.take_while(|char| char.is_ascii_digit());
        if unit(self.rest()).is_some() {
            self.at = start;
            return self.duration(start);
        }
        if self.rest().starts_with('.') {
            self.at += 1;
            self.take_while(|char| char.is_ascii_digit());
        }
        self.exponent();
        let text = &self.text[start..self.at];
        let number = text.parse::<f64>().ok().filter(|_| self.ends_here() && (!whole.is_empty() || text.len() > 1));
        number.map(Token::Number).ok_or_else(|| self.bad_number(start))
    }

    fn exponent(&mut self) {
        let after = self.rest().strip_prefix(['e', 'E']).unwrap_or_default();
        let digits = after.strip_prefix(['+', '-']).unwrap_or(after);
        if digits.starts_with(|char: char| char.is_ascii_digit()) {
            self.at += 1 + (after.len() - digits.len());
            self.take_while(|char| char.is_ascii_digit());
        }
    }

    /// `1h30m`: each unit once, the longer before the shorter.
    fn duration(&mut self, start: usize) -> Result<Token, StatusError> {
        let (mut sum, mut smallest) = (0_i64, i64::MAX);
        loop {
            let digits = self.take_while(|char| char.is_ascii_digit());
            let found = unit(self.rest()).filter(|(_, ms)| *ms < smallest);
            let (Ok(number), Some((name, ms))) = (digits.parse::<i64>(), found) else {
                return Err(error(self.text, start, "bad number or duration syntax"));
            };
            let part = number.checked_mul(ms).and_then(|part| sum.checked_add(part));
            sum = part
                .filter(|sum| *sum <= SPAN_MS_MAX)
                .ok_or_else(|| error(self.text, start, "duration out of range"))?;
            smallest = ms;
            self.at += name.len();
            if !self.rest().starts_with(|char: char| char.is_ascii_digit()) {
                break;
            }
        }
        if self.ends_here() { Ok(Token::Duration(sum)) } else { Err(self.bad_number(start)) }
    }

    /// No letter follows at once.
    fn ends_here(&self) -> bool {
        !self.rest().starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_' || char == '.')
    }

    fn bad_number(&self, start: usize) -> StatusError {
        let end =
            self.text[start..].find(|char: char| !char.is_ascii_alphanumeric()).unwrap_or(self.text.len() - start);
        let what = format!("bad number or duration syntax: {:?}", &self.text[start..start + end]);
        error(self.text, start, &what)
    }
}

/// The unit that a text begins with, and its milliseconds.
fn unit(text: &str) -> Option<(&'static str, i64)> {
    let mut found = UNITS.iter().filter(|(name, _)| text.starts_with(name));
    // `ms` before `m`.
    found.by_ref().max_by_key(|(name, _)| name.len()).copied()
}
