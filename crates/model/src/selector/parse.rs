//! The grammar: `name{matcher,…,}` where either half may be missing, strings as in Go.

use super::{MATCHERS_MAX, MatchOp, Matcher, REGEXES_MAX};
use crate::{StatusError, label_name};

/// Stands between a position and what is wrong there.
const POSITION_END: &str = ": parse error: ";

/// May a label name stand without quotes?
pub(super) fn is_plain_name(name: &str) -> bool {
    let mut parser = Parser { text: name, at: 0 };
    parser.identifier(false).is_some_and(|plain| plain == name)
}

/// A quoted string at the start of a text, and its length.
pub(super) fn string(text: &str) -> Result<(String, usize), String> {
    let mut parser = Parser { text, at: 0 };
    match parser.string() {
        Ok(value) => Ok((value, parser.at)),
        // Where it is wrong is counted from another beginning.
        Err(error) => Err(error.message.rsplit(POSITION_END).next().unwrap_or_default().to_owned()),
    }
}

/// Matchers of a selector's text.
pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, StatusError> {
    let mut parser = Parser { text, at: 0 };
    parser.skip_space();
    let mut matchers = Vec::new();
    let metric = parser.identifier(true).map(str::to_owned);
    if let Some(name) = &metric {
        matchers.push(Matcher::new(label_name::NAME, MatchOp::Equal, name)?);
    }
    parser.skip_space();
    if parser.take('{') {
        parser.matchers(&mut matchers)?;
    } else if metric.is_none() {
        return Err(parser.unexpected("a metric name or \"{\""));
    }
    parser.skip_space();
    if parser.rest().is_empty() {
        check_names(&matchers, metric.is_some(), &parser)?;
        Ok(matchers)
    } else {
        Err(parser.unexpected("the end of the selector"))
    }
}

fn check_names(matchers: &[Matcher], named_before: bool, parser: &Parser<'_>) -> Result<(), StatusError> {
    let names = matchers.iter().filter(|matcher| matcher.name() == label_name::NAME).count();
    if named_before && names > 1 {
        return Err(parser.error("the metric name is set twice: before and inside the braces"));
    }
    Ok(())
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        Some(char)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn skip_space(&mut self) {
        while let Some(char) = self.peek() {
            if char == '#' {
                let line = self.rest().find('\n').unwrap_or(self.rest().len());
                self.at += line;
            } else if matches!(char, ' ' | '\t' | '\n' | '\r') {
                self.at += 1;
            } else {
                break;
            }
        }
    }

    /// A name; metric names may hold colons.
    fn identifier(&mut self, metric: bool) -> Option<&'a str> {
        let rest = self.rest();
        let fits = |at: usize, char: char| {
            char.is_ascii_alphabetic() || char == '_' || (metric && char == ':') || (at > 0 && char.is_ascii_digit())
        };
        let end = rest.char_indices().find(|(at, char)| !fits(*at, *char)).map_or(rest.len(), |(at, _)| at);
        self.at += end;
        (end > 0).then_some(&rest[..end])
    }

    /// What stands between the braces; the opening one is taken.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<(), StatusError> {
        loop {
            self.skip_space();
            if self.take('}') {
                return Ok(());
            }
            matchers.push(self.matcher()?);
            self.check_bounds(matchers)?;
            self.skip_space();
            if self.take('}') {
                return Ok(());
            }
            if !self.take(',') {
                return Err(self.unexpected("\",\" or \"}\""));
            }
        }
    }

    fn check_bounds(&self, matchers: &[Matcher]) -> Result<(), StatusError> {
        if matchers.len() > MATCHERS_MAX {
            return Err(self.error(&format!("more than {MATCHERS_MAX} matchers")));
        }
        let last_is_costly = matchers.last().is_some_and(Matcher::is_costly);
        if last_is_costly && matchers.iter().filter(|matcher| matcher.is_costly()).count() > REGEXES_MAX {
            return Err(self.error(&format!("more than {REGEXES_MAX} regular expressions")));
        }
        Ok(())
    }

    fn matcher(&mut self) -> Result<Matcher, StatusError> {
        let quoted = self.peek().is_some_and(|char| matches!(char, '"' | '\'' | '`'));
        let name = if quoted {
            self.string()?
        } else {
            self.identifier(false).map(str::to_owned).ok_or_else(|| self.unexpected("a label name or \"}\""))?
        };
        self.skip_space();
        if quoted && self.peek().is_some_and(|char| matches!(char, ',' | '}')) {
            return Matcher::new(label_name::NAME, MatchOp::Equal, &name);
        }
        if name.is_empty() {
            return Err(self.error("a label name is empty"));
        }
        let op = self.operator()?;
        self.skip_space();
        let value = self.string()?;
        Matcher::new(&name, op, &value).map_err(|error| self.error(&error.message))
    }

    fn operator(&mut self) -> Result<MatchOp, StatusError> {
        let operators = [MatchOp::Matches, MatchOp::MatchesNot, MatchOp::NotEqual, MatchOp::Equal];
        let found = operators.into_iter().find(|op| self.rest().starts_with(op.as_str()));
        let op = found.ok_or_else(|| self.unexpected("a label matching operator"))?;
        self.at += op.as_str().len();
        Ok(op)
    }

    fn string(&mut self) -> Result<String, StatusError> {
        let Some(quote) = self.peek().filter(|char| matches!(char, '"' | '\'' | '`')) else {
            return Err(self.unexpected("a string"));
        };
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.next() {
                None => return Err(self.error("unterminated string")),
                Some(char) if char == quote => break,
                Some('\n') if quote != '`' => return Err(self.error("newline in a quoted string")),
                Some('\\') if quote != '`' => self.escape(quote, &mut bytes)?,
                Some(char) => push(&mut bytes, char),
            }
        }
        String::from_utf8(bytes).map_err(|_| self.error("the string is not valid UTF-8"))
    }

    fn escape(&mut self, quote: char, bytes: &mut Vec<u8>) -> Result<(), StatusError> {
        let Some(char) = self.next() else { return Err(self.error("unterminated escape")) };
        match char {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            '\\' => bytes.push(b'\\'),
            _ if char == quote => push(bytes, char),
            'x' => bytes.push(self.number(2, 16, 0)? as u8),
            'u' => self.code_point(4, bytes)?,
            'U' => self.code_point(8, bytes)?,
            '0'..='7' => {
                let value = self.number(2, 8, char.to_digit(8).unwrap_or_default())?;
                bytes.push(u8::try_from(value).map_err(|_| self.error("an octal escape is above 255"))?);
            }
            _ => return Err(self.error("unknown escape sequence")),
        }
        Ok(())
    }

    fn code_point(&mut self, digits: usize, bytes: &mut Vec<u8>) -> Result<(), StatusError> {
        let number = self.number(digits, 16, 0)?;
        push(bytes, char::from_u32(number).ok_or_else(|| self.error("an escape names no character"))?);
        Ok(())
    }

    fn number(&mut self, digits: usize, radix: u32, start: u32) -> Result<u32, StatusError> {
        let mut value = start;
        for _ in 0..digits {
            let digit = self.next().and_then(|char| char.to_digit(radix));
            let digit = digit.ok_or_else(|| self.error("an escape sequence is too short"))?;
            value = value.wrapping_mul(radix).wrapping_add(digit);
        }
        Ok(value)
    }

    fn unexpected(&self, expected: &str) -> StatusError {
        match self.peek() {
            None => self.error(&format!("unexpected end of input, expected {expected}")),
            Some(char) => self.error(&format!("unexpected {char:?}, expected {expected}")),
        }
    }

    fn error(&self, what: &str) -> StatusError {
        let before = &self.text[..self.at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        StatusError::invalid_argument(format!("{line}:{column}{POSITION_END}{what}"))
    }
}

fn push(bytes: &mut Vec<u8>, char: char) {
    bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}
