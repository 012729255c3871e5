//! A statement's text, reduced to a form that has one reading only: comments are blanks, literals are all alike, quoted names are
//! plain. What the database could take apart in another way is refused here, before any grammar is asked.
//!
//! The parser sees no comment, no quote inside of a literal and no escape, so it cannot disagree with the database about where one
//! ends. The reduced text is also what is the same for all calls of one statement, whatever its values.

use std::iter::Peekable;
use std::str::CharIndices;

use super::{Dialect, Fault};
use crate::primitives::limits;

/// Stands for every text literal, and is one character long, as the delimiter of a `COPY` has to be.
const TEXT: &str = "'?'";
/// Stands for every number.
const NUMBER: char = '0';

/// The reduced text of a statement, or of several.
pub(super) fn reduce(text: &[u8], dialect: Dialect) -> Result<String, Fault> {
    if text.len() > limits::STATEMENT_BYTES {
        return Err(Fault::TooLong);
    }
    let text = std::str::from_utf8(text).ok().filter(|text| !text.contains('\0')).ok_or(Fault::NotText)?;
    let mut scan = Scan { text, rest: text.char_indices().peekable(), dialect, out: String::with_capacity(text.len()) };
    while scan.step()? {}
    Ok(scan.out)
}

struct Scan<'t> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
    dialect: Dialect,
    out: String,
}

fn begins_name(char: char) -> bool {
    char.is_ascii_alphabetic() || char == '_'
}

fn continues_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// Of these PostgreSQL makes operators; of the others there are no more than two characters.
fn is_of_operator(char: char) -> bool {
    matches!(char, '+' | '-' | '*' | '/' | '<' | '>' | '=' | '~' | '!' | '@' | '#' | '%' | '^' | '&' | '|' | '?')
}

/// The operators that databases come with. One that users have made is a function by another name.
#[rustfmt::skip]
const OPERATORS: &[&str] = &[
    "+", "-", "*", "/", "%", "^", "<", ">", "=", "<>", "!=", "<=", ">=", "||", "&", "|", "#", "~", "<<", ">>", "~*", "!~", "!~*",
    "~~", "~~*", "!~~", "!~~*", "^@", "@", "|/", "||/", "->", "->>", "#>", "#>>", "#-", "@>", "<@", "?", "?|", "?&", "@?", "@@",
    "&&", "<->", "=>", "&<", "~=", "|>>", "<<|", "##", "&<|", "|&>", "?#", "?-", "?||", "?-|", "@-@", "!!", "<^", ">^",
];

impl<'t> Scan<'t> {
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, char)| *char)
    }

    /// Takes the next character if it is this one.
    fn eat(&mut self, wanted: char) -> bool {
        self.rest.next_if(|(_, char)| *char == wanted).is_some()
    }

    /// All that is left begins with this.
    fn is_at(&mut self, start: &str) -> bool {
        let at = self.rest.peek().map_or(self.text.len(), |(at, _)| *at);
        self.text.get(at..).is_some_and(|rest| rest.starts_with(start))
    }

    /// Takes characters as long as they are such.
    fn take(&mut self, such: impl Fn(char) -> bool) -> &'t str {
        let from = self.rest.peek().map_or(self.text.len(), |(at, _)| *at);
        while self.rest.next_if(|(_, char)| such(*char)).is_some() {}
        let to = self.rest.peek().map_or(self.text.len(), |(at, _)| *at);
        self.text.get(from..to).unwrap_or_default()
    }

    fn blank(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with(' ') {
            self.out.push(' ');
        }
    }

    /// One token; false at the end.
    fn step(&mut self) -> Result<bool, Fault> {
        let Some(char) = self.peek() else { return Ok(false) };
        match char {
            // What else is white differs from server to server: form feeds, no-break spaces.
            ' ' | '\t' | '\n' | '\r' => {
                self.take(|char| matches!(char, ' ' | '\t' | '\n' | '\r'));
                self.blank();
            }
            '-' if self.is_at("--") => self.line_comment()?,
            '/' if self.is_at("/*") => self.block_comment()?,
            '\'' => self.literal(self.dialect == Dialect::ClickHouse)?,
            '"' => self.quoted_name('"')?,
            '`' if self.dialect == Dialect::ClickHouse => self.quoted_name('`')?,
            '0'..='9' => self.number()?,
            '.' => {
                self.rest.next();
                self.out.push('.');
                // `1.5` was taken whole: what follows a dot of its own is a fraction without a whole part, or a place in a tuple.
                if self.peek().is_some_and(|char| char.is_ascii_digit()) {
                    self.number()?;
                }
            }
            '$' => self.dollar()?,
            _ if begins_name(char) => self.word()?,
            // ClickHouse begins comments and headings with it, and PostgreSQL has operators.
            '#' if self.dialect != Dialect::Postgres => return Err(Fault::Ambiguous("`#`, with which a comment may begin")),
            '{' | '}' | '`' | '\\' => return Err(Fault::Ambiguous("a character that belongs to no statement: one of { } ` \\")),
            _ if is_of_operator(char) => self.operator()?,
            _ if char.is_ascii_graphic() => {
                self.rest.next();
                self.out.push(char);
            }
            _ => return Err(Fault::Ambiguous("a character outside ASCII, or of control, where no quotes are")),
        }
        Ok(true)
    }

    /// One operator, as PostgreSQL takes as many characters as can be one (§4.1.3 of its manual), and a blank after it: a parser may take
    /// fewer, or more.
    fn operator(&mut self) -> Result<(), Fault> {
        let mut length = 0;
        let mut ahead = self.rest.clone();
        while ahead.next_if(|(_, char)| is_of_operator(*char)).is_some() {
            length += 1;
            let at = ahead.peek().map_or(self.text.len(), |(at, _)| *at);
            if self.text.get(at..).is_some_and(|rest| rest.starts_with("--") || rest.starts_with("/*")) {
                break;
            }
        }
        let from = self.rest.peek().map_or(self.text.len(), |(at, _)| *at);
        let mut run = self.text.get(from..from + length).unwrap_or_default();
        // It ends in `+` or `-` only if one of these is in it.
        while run.len() > 1 && run.ends_with(['+', '-']) && !run.contains(['~', '!', '@', '#', '%', '^', '&', '|', '?']) {
            run = run.get(..run.len() - 1).unwrap_or_default();
        }
        if !OPERATORS.contains(&run) {
            return Err(Fault::Unknown("an operator that is not one of the database's own"));
        }
        self.take_bytes(run.len());
        // Two ways to write one operator.
        self.out.push_str(if run == "!=" { "<>" } else { run });
        self.out.push(' ');
        Ok(())
    }

    /// To the end of the line. PostgreSQL ends it at a carriage return, others do not.
    fn line_comment(&mut self) -> Result<(), Fault> {
        let comment = self.take(|char| char != '\n');
        let comment = comment.strip_suffix('\r').unwrap_or(comment);
        if comment.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}']) {
            return Err(Fault::Ambiguous("an end of a line inside of a comment"));
        }
        self.blank();
        Ok(())
    }

    /// Some databases nest them, some do not.
    fn block_comment(&mut self) -> Result<(), Fault> {
        self.rest.next();
        self.rest.next();
        loop {
            self.take(|char| char != '*' && char != '/');
            if self.is_at("*/") {
                self.rest.next();
                self.rest.next();
                self.blank();
                return Ok(());
            }
            if self.is_at("/*") {
                return Err(Fault::Ambiguous("a comment within a comment"));
            }
            if self.rest.next().is_none() {
                return Err(Fault::Ambiguous("a comment without an end"));
            }
        }
    }

    /// A text in single quotes. A backslash is a character of its own, or it escapes the next one.
    fn literal(&mut self, escapes: bool) -> Result<(), Fault> {
        self.rest.next();
        loop {
            match self.rest.next().map(|(_, char)| char) {
                None => return Err(Fault::Ambiguous("a text without an end")),
                Some('\'') if !self.eat('\'') => break,
                // Where it is a character of its own, a server may be told that it is not (`standard_conforming_strings`): as long as
                // no quote follows, both find the same end.
                Some('\\') => {
                    if self.rest.next().is_some_and(|(_, next)| next == '\'') && !escapes {
                        return Err(Fault::Ambiguous("a backslash before a quote"));
                    }
                }
                Some(_) => {}
            }
        }
        self.text_stands()
    }

    fn quoted_name(&mut self, quote: char) -> Result<(), Fault> {
        self.rest.next();
        let name = self.take(|char| char != quote);
        if !self.eat(quote) {
            return Err(Fault::Ambiguous("a quoted name without an end"));
        }
        let odd = |char: char| char.is_control() || matches!(char, '"' | '`' | '\\' | '\'');
        if name.is_empty() || name.contains(odd) || self.peek() == Some(quote) || name.len() > limits::NAME_BYTES {
            return Err(Fault::Ambiguous("a quoted name that is empty, too long, or holds quotes or a backslash"));
        }
        self.out.push('"');
        self.out.push_str(name);
        self.out.push('"');
        Ok(())
    }

    /// A name or a keyword, or the letter before a literal.
    fn word(&mut self) -> Result<(), Fault> {
        let word = self.take(continues_name);
        // PostgreSQL cuts it off there, and would mean another table.
        if word.len() > limits::NAME_BYTES {
            return Err(Fault::Ambiguous("a name that is longer than a database keeps"));
        }
        match self.peek() {
            Some('$') => return Err(Fault::Ambiguous("`$` in a name")),
            Some(char) if !char.is_ascii() => return Err(Fault::Ambiguous("a name outside ASCII without quotes")),
            Some('\'') => return self.prefixed(word),
            Some('&') if word.eq_ignore_ascii_case("u") => return Err(Fault::Ambiguous("a name or a text of Unicode escapes")),
            _ => self.out.push_str(word),
        }
        Ok(())
    }

    /// A text with a letter before its quote.
    fn prefixed(&mut self, prefix: &str) -> Result<(), Fault> {
        match (self.dialect, prefix.to_ascii_lowercase().as_str()) {
            (Dialect::Postgres, "e") => self.literal(true),
            (Dialect::Postgres | Dialect::Trino, "x") | (Dialect::Postgres, "b" | "n") => self.literal(false),
            (_, "e" | "x" | "b" | "n" | "u" | "r" | "q") => {
                Err(Fault::Ambiguous("a letter before a text, which means something else here"))
            }
            // A keyword that stands close to it: `LIKE'a%'`, `DATE'2026-01-01'`.
            _ => {
                self.out.push_str(prefix);
                self.blank();
                self.literal(self.dialect == Dialect::ClickHouse)
            }
        }
    }

    /// A number; what hangs on to it is read in as many ways as there are databases (`1FROM`).
    fn number(&mut self) -> Result<(), Fault> {
        let digits = self.take(|char| char.is_ascii_digit() || char == '_');
        let based = digits == "0" && matches!(self.peek(), Some('x' | 'X' | 'o' | 'O' | 'b' | 'B'));
        if based {
            self.rest.next();
            self.take(|char| char.is_ascii_hexdigit() || char == '_');
        } else {
            if !self.out.ends_with('.') && !self.is_at("..") && self.eat('.') {
                self.take(|char| char.is_ascii_digit() || char == '_');
            }
            if self.rest.next_if(|(_, char)| matches!(char, 'e' | 'E')).is_some() {
                self.rest.next_if(|(_, char)| matches!(char, '+' | '-'));
                if self.take(|char| char.is_ascii_digit()).is_empty() {
                    return Err(Fault::Ambiguous("a number with something hanging on to it"));
                }
            }
        }
        if self.peek().is_some_and(|char| continues_name(char) || char == '$' || !char.is_ascii()) {
            return Err(Fault::Ambiguous("a number with something hanging on to it"));
        }
        self.out.push(NUMBER);
        Ok(())
    }

    /// `$1`, or a text between `$tag$` and `$tag$`, in which nothing is escaped.
    fn dollar(&mut self) -> Result<(), Fault> {
        if self.dialect != Dialect::Postgres {
            return Err(Fault::Ambiguous("`$`"));
        }
        self.rest.next();
        let tag = self.take(continues_name);
        if self.peek() == Some('$') && !tag.starts_with(|char: char| char.is_ascii_digit()) {
            self.rest.next();
            return self.dollar_text(tag);
        }
        let ends = self.peek().is_none_or(|char| char != '$' && char.is_ascii());
        if tag.is_empty() || !tag.bytes().all(|byte| byte.is_ascii_digit()) || !ends {
            return Err(Fault::Ambiguous("`$` that is neither a parameter nor a quote"));
        }
        self.out.push('$');
        self.out.push_str(tag);
        Ok(())
    }

    fn dollar_text(&mut self, tag: &str) -> Result<(), Fault> {
        let end = format!("${tag}$");
        loop {
            self.take(|char| char != '$');
            if self.is_at(&end) {
                break;
            }
            if self.rest.next().is_none() {
                return Err(Fault::Ambiguous("a text without an end"));
            }
        }
        self.take_bytes(end.len());
        self.text_stands()
    }

    /// So many characters of ASCII.
    fn take_bytes(&mut self, count: usize) {
        for _ in 0..count {
            self.rest.next();
        }
    }

    /// In the place of a text. Two of them one after the other are one, if a line ends between them: no database and no parser agree
    /// about it.
    fn text_stands(&mut self) -> Result<(), Fault> {
        if self.out.trim_end().ends_with('\'') {
            return Err(Fault::Ambiguous("two texts, one after the other"));
        }
        self.out.push_str(TEXT);
        Ok(())
    }
}
