//! Regular expressions with RE2's grammar, as Prometheus anchors them: `^(?s:…)$`.
//!
//! The engine's own grammar is close to RE2's but not equal: its `\d`, `\w` and `\b` know Unicode, `[` nests inside a class,
//! `&&` intersects, `{` must count, `\Q…\E` is missing. So a pattern is first rewritten: every literal becomes an escape that
//! means the same in both, and what RE2 refuses is refused. Matching is linear in the text whatever the pattern.

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

/// Most memory of one compiled pattern; a selector may hold `REGEXES_MAX` of them.
const PROGRAM_BYTES_MAX: usize = 2 << 20;
/// Most memory that one search may spend on its lazily built automaton.
const CACHE_BYTES_MAX: usize = 1 << 20;
/// Names that may stand in `[[:name:]]`.
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];
/// Largest count in `{n,m}`, as in RE2.
const REPEAT_MAX: u32 = 1000;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// `.*`
    Any,
    /// `.+`
    NonEmpty,
    /// Literals only: `a|b|c`. Sorted.
    OneOf(Box<[String]>),
    /// Everything else.
    Regex(Box<Regex>),
}

impl Pattern {
    /// Compiles; the error says what is wrong.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        match pattern {
            ".*" => return Ok(Self::Any),
            ".+" => return Ok(Self::NonEmpty),
            _ => {}
        }
        if let Some(mut literals) = literals(pattern) {
            literals.sort_unstable();
            return Ok(Self::OneOf(literals.into()));
        }
        compile_anchored(pattern).map(|regex| Self::Regex(Box::new(regex)))
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::NonEmpty => !text.is_empty(),
            Self::OneOf(literals) => literals.binary_search_by(|literal| literal.as_str().cmp(text)).is_ok(),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// RE2's grammar; the pattern matches whole texts. Bounded in memory, and linear in time.
pub(crate) fn compile_anchored(pattern: &str) -> Result<Regex, String> {
    let anchored = format!("^(?s:{})$", Translator::run(pattern)?);
    let config = Regex::config()
        .nfa_size_limit(Some(PROGRAM_BYTES_MAX))
        .onepass_size_limit(Some(PROGRAM_BYTES_MAX))
        .hybrid_cache_capacity(CACHE_BYTES_MAX)
        .utf8_empty(false);
    let built = Regex::builder().configure(config).syntax(syntax::Config::new().utf8(false)).build(&anchored);
    built.map_err(|error| cause(&error))
}

/// The innermost cause in one line: the engine's own text draws the (rewritten) pattern.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// The alternatives of a pattern that has nothing but literals and `|`; `None` when it has more.
fn literals(pattern: &str) -> Option<Vec<String>> {
    let (mut all, mut literal) = (Vec::new(), String::new());
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        match char {
            '|' => all.push(std::mem::take(&mut literal)),
            '\\' => literal.push(chars.next().filter(char::is_ascii_punctuation)?),
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            other => literal.push(other),
        }
    }
    all.push(literal);
    Some(all)
}

/// Rewrites RE2's grammar into the engine's.
struct Translator<'a> {
    rest: &'a str,
    out: String,
    /// Open groups.
    depth: usize,
}

impl<'a> Translator<'a> {
    fn run(pattern: &'a str) -> Result<String, String> {
        let mut translator = Self { rest: pattern, out: String::with_capacity(pattern.len() * 2), depth: 0 };
        let mut repeated = false;
        while let Some(char) = translator.next() {
            repeated = translator.token(char, repeated)?;
        }
        if translator.depth > 0 { Err("missing closing )".to_owned()) } else { Ok(translator.out) }
    }

    fn next(&mut self) -> Option<char> {
        let char = self.rest.chars().next()?;
        self.rest = &self.rest[char.len_utf8()..];
        Some(char)
    }

    fn take(&mut self, prefix: &str) -> bool {
        let found = self.rest.strip_prefix(prefix);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// One token outside of classes; tells whether it was a repetition.
    fn token(&mut self, char: char, after_repetition: bool) -> Result<bool, String> {
        match char {
            '*' | '+' | '?' => {
                self.out.push(char);
                return self.repetition(after_repetition);
            }
            '{' => {
                if self.count()? {
                    return self.repetition(after_repetition);
                }
                self.literal('{');
            }
            '(' => self.group()?,
            ')' => {
                self.depth = self.depth.checked_sub(1).ok_or("unexpected )")?;
                self.out.push(')');
            }
            '|' | '.' | '^' | '$' => self.out.push(char),
            '[' => self.class()?,
            '\\' => self.escape()?,
            other => self.literal(other),
        }
        Ok(false)
    }

    fn repetition(&mut self, after_repetition: bool) -> Result<bool, String> {
        if after_repetition {
            return Err("invalid nested repetition operator".to_owned());
        }
        if self.take("?") {
            self.out.push('?');
        }
        Ok(true)
    }

    /// `{n}`, `{n,}` or `{n,m}`, whose brace is taken; `false` when the brace is a literal.
    fn count(&mut self) -> Result<bool, String> {
        let Some((inside, rest)) = self.rest.split_once('}') else { return Ok(false) };
        let (low, high) = inside.split_once(',').map_or((inside, None), |(low, high)| (low, Some(high)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(low) || high.is_some_and(|high| !high.is_empty() && !digits(high)) {
            return Ok(false);
        }
        let number = |text: &str| text.parse::<u32>().ok().filter(|count| *count <= REPEAT_MAX);
        let low = number(low).ok_or("invalid repeat count")?;
        let high = high.filter(|high| !high.is_empty()).map(|high| number(high).filter(|high| low <= *high));
        if high == Some(None) {
            return Err("invalid repeat count".to_owned());
        }
        self.out.extend(["{", inside, "}"]);
        self.rest = rest;
        Ok(true)
    }

    /// A group whose parenthesis is taken, or flags.
    fn group(&mut self) -> Result<(), String> {
        self.depth += 1;
        self.out.push('(');
        if !self.take("?") {
            return Ok(());
        }
        self.out.push('?');
        if self.take("P<") || self.take("<") {
            let (name, rest) = self.rest.split_once('>').ok_or("invalid named capture")?;
            self.out.extend(["P<", name, ">"]);
            self.rest = rest;
            return Ok(());
        }
        loop {
            let char = self.next().ok_or("missing argument to (?")?;
            self.out.push(char);
            match char {
                'i' | 'm' | 's' | 'U' | '-' => {}
                ':' => return Ok(()),
                ')' => {
                    self.depth -= 1;
                    return Ok(());
                }
                _ => return Err("invalid or unsupported Perl syntax after (?".to_owned()),
            }
        }
    }

    /// An escape outside of a class; its backslash is taken.
    fn escape(&mut self) -> Result<(), String> {
        let Some(char) = self.rest.chars().next() else {
            return Err("trailing backslash at end of expression".to_owned());
        };
        if let Some(set) = perl_set(char) {
            self.next();
            self.out.extend(["[", set, "]"]);
            return Ok(());
        }
        match char {
            'p' | 'P' => return self.unicode_class(),
            'Q' => self.quoted(),
            'b' => self.out.push_str(r"(?-u:\b)"),
            'B' => self.out.push_str(r"(?-u:\B)"),
            'A' | 'z' => self.out.extend(['\\', char]),
            _ => {
                let literal = self.escaped_char()?;
                self.literal(literal);
                return Ok(());
            }
        }
        self.next();
        Ok(())
    }

    /// `\Q…\E`, of which the `Q` is next; leaves one character for the caller to take.
    fn quoted(&mut self) {
        let text = &self.rest[1..];
        let (inside, after) =
            text.split_once("\\E").map_or((text, text.len()), |(inside, _)| (inside, inside.len() + 1));
        inside.chars().for_each(|char| self.literal(char));
        self.rest = if after == text.len() { "E" } else { &text[after..] };
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`, of which the `p` is next.
    fn unicode_class(&mut self) -> Result<(), String> {
        let mut negated = self.next() == Some('P');
        let name = if self.take("{") {
            let (name, rest) = self.rest.split_once('}').ok_or("invalid character class range")?;
            self.rest = rest;
            negated ^= name.starts_with('^');
            name.trim_start_matches('^').to_owned()
        } else {
            self.next().ok_or("invalid character class range")?.to_string()
        };
        self.out.extend([if negated { r"\P{" } else { r"\p{" }, &name, "}"]);
        Ok(())
    }

    /// The character that an escape stands for; its backslash is taken.
    fn escaped_char(&mut self) -> Result<char, String> {
        let char = self.next().ok_or("trailing backslash at end of expression")?;
        let invalid = || format!("invalid escape sequence: `\\{char}`");
        Ok(match char {
            'a' => '\u{7}',
            'f' => '\u{c}',
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'v' => '\u{b}',
            'x' => self.hex().and_then(char::from_u32).ok_or_else(invalid)?,
            // A single digit above 0 would refer back to a group.
            '1'..='7' if !self.rest.starts_with(|next: char| next.is_digit(8)) => return Err(invalid()),
            '0'..='7' => self.octal(char).ok_or_else(invalid)?,
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => other,
            _ => return Err(invalid()),
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = if self.take("{") {
            let (digits, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            digits
        } else {
            let digits = self.rest.get(..2)?;
            self.rest = &self.rest[2..];
            digits
        };
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        all_digits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    }

    fn octal(&mut self, first: char) -> Option<char> {
        let mut value = first.to_digit(8)?;
        for _ in 0..2 {
            let Some(digit) = self.rest.chars().next().and_then(|char| char.to_digit(8)) else { break };
            self.next();
            value = value * 8 + digit;
        }
        char::from_u32(value)
    }

    /// A class whose bracket is taken.
    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            if self.rest.is_empty() {
                return Err("missing closing ]".to_owned());
            }
            self.class_item()?;
            first = false;
        }
        self.next();
        self.out.push(']');
        Ok(())
    }

    fn class_item(&mut self) -> Result<(), String> {
        if let Some((name, rest)) = self.rest.strip_prefix("[:").and_then(|text| text.split_once(":]")) {
            // The engine would read an unknown one as a class of these letters.
            if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                return Err(format!("invalid character class range: `[:{name}:]`"));
            }
            self.out.extend(["[:", name, ":]"]);
            self.rest = rest;
            return Ok(());
        }
        let escaped = self.rest.strip_prefix('\\').and_then(|text| text.chars().next());
        if let Some('p' | 'P') = escaped {
            self.next();
            return self.unicode_class();
        }
        if let Some(set) = escaped.and_then(perl_set) {
            self.rest = &self.rest[2..];
            self.out.extend(["[", set, "]"]);
            return Ok(());
        }
        let low = self.class_char()?;
        self.literal(low);
        if self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1 {
            self.next();
            let high = self.class_char()?;
            self.out.push('-');
            self.literal(high);
        }
        Ok(())
    }

    fn class_char(&mut self) -> Result<char, String> {
        match self.next().ok_or("missing closing ]")? {
            '\\' => self.escaped_char(),
            char => Ok(char),
        }
    }

    fn literal(&mut self, char: char) {
        if char.is_ascii() && !char.is_ascii_alphanumeric() && char != '_' {
            self.out.push_str(&format!("\\x{{{:x}}}", u32::from(char)));
        } else {
            self.out.push(char);
        }
    }
}

/// What stands inside the brackets of `\d` and its like: ASCII only, as in RE2.
fn perl_set(char: char) -> Option<&'static str> {
    Some(match char {
        'd' => "0-9",
        'D' => "^0-9",
        's' => r"\t\n\x0c\r\x20",
        'S' => r"^\t\n\x0c\r\x20",
        'w' => "0-9A-Za-z_",
        'W' => "^0-9A-Za-z_",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let compiled = Pattern::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        matching.iter().for_each(|text| assert!(compiled.is_match(text), "{pattern} must match {text:?}"));
        others.iter().for_each(|text| assert!(!compiled.is_match(text), "{pattern} must not match {text:?}"));
    }

    #[test]
    fn anchored_literals() {
        check("a|b\\.c|", &["a", "b.c", ""], &["ab", "bxc", "A"]);
        check("ab?", &["a", "ab"], &["xab", "abx"]);
        check("a|bc*", &["a", "bcc"], &["abc", "ac"]);
        check("x.y", &["x\ny", "xüy"], &["xy"]);
        check("", &[""], &["a"]);
    }

    #[test]
    fn groups_flags_and_repetitions() {
        check("(?i)foo(bar)?", &["FOO", "fooBar"], &["fo"]);
        check("(?P<a>x)(?<b>y)(?:z)", &["xyz"], &["xy"]);
        check("(?i:a)b", &["Ab"], &["AB"]);
        check("(?-s).", &["a"], &["\n"]);
        check("a{2,3}b{1}", &["aab", "aaab"], &["ab", "aaaab"]);
        check("a{,2}", &["a{,2}"], &["aa"]);
        check("a{x", &["a{x"], &["a"]);
        check("[0-9]+?x", &["12x"], &["x"]);
    }

    #[test]
    fn perl_classes_are_ascii() {
        check(r"\d+", &["019"], &["٣", ""]);
        check(r"\w+", &["aZ_9"], &["é"]);
        check(r"[\w-]+", &["a-b"], &["a.b"]);
        check(r"[^\d\s]", &["a"], &["1", " "]);
        check(r"[\D]", &["a"], &["1"]);
        check(r".*\bfoo\b.*", &["a foo", "éfoo"], &["afoo"]);
        check(r"\pL\p{Greek}\p{^Greek}\PL", &["éωa1"], &["1ωa1"]);
    }

    #[test]
    fn classes_have_no_operators() {
        check("[a&&b]+", &["a&b"], &["c"]);
        check("[[]x", &["[x"], &["x"]);
        check("[]a]+", &["]a"], &["b"]);
        check("[^]a]", &["b"], &["]", "a"]);
        check("[a~~b-]+", &["a~b-"], &["c"]);
        check("[[:alpha:]_]+[[:^digit:]]", &["a_Z"], &["1", "a1"]);
        check("[+--]+", &["+,-"], &["."]);
        check(r"[\]\\\-]+", &["]\\-"], &["a"]);
    }

    #[test]
    fn escapes() {
        check(r"\x41\x{e9}\101\.\_\<\n", &["AéA._<\n"], &[]);
        check(r"\Qa.b*\E+", &["a.b*", "a.b**"], &["axb"]);
        check(r"\Qa.b", &["a.b"], &["axb"]);
        check(r"x\A|\z", &[""], &["x"]);
    }

    #[test]
    fn mistakes() {
        for bad in [
            "(",
            ")",
            "a)(b",
            "[",
            "[a",
            "*",
            "a**",
            "a+*",
            "a{2}{3}",
            "a{1001}",
            "a{3,2}",
            r"\",
            r"\1",
            r"\C",
            r"\y",
            "(?x)a",
            "(?=a)",
            "(?P<n",
            "[b-a]",
            "[[:nope:]]",
            r"\pX",
            r"\x{110000}",
            r"[\b]",
            "(?:(?:(?:a{1000}){1000}){1000})",
        ] {
            let error = Pattern::compile(bad).map(|_| ()).unwrap_err();
            assert!(!error.is_empty() && !error.contains('\n'), "{bad}: {error}");
        }
    }
}
