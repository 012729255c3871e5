//! What a statement of SQL does, as far as its text can tell: of which kinds it is, which tables it reads and writes, which
//! functions it calls that are not known to be harmless. It knows no transport: a body of HTTP and a message of a database's own
//! protocol are judged alike.
//!
//! Two readers have to agree. [`scan`] reduces the text to a form with one reading, or refuses it; a grammar (`sqlparser`) takes
//! the reduced text apart; and what stands there is then walked member by member, where everything that is not known is refused.
//! What no parser can know (`DO`, `CALL`, a function with unknown effects) is reported as such, for a policy to name or to deny.

mod change;
mod expression;
mod fault;
mod functions;
mod names;
mod query;
mod scan;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use sqlparser::dialect::{ClickHouseDialect, GenericDialect, PostgreSqlDialect};
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

pub use self::fault::Fault;
use crate::primitives::limits;

/// Whose grammar a statement is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 14 to 18.
    Postgres,
    /// ClickHouse.
    ClickHouse,
    /// Trino.
    Trino,
}

/// A kind of statement. One statement may be of several: a query whose `WITH` deletes, an `EXPLAIN` of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Reads rows: `SELECT`, `VALUES`, `TABLE`.
    Select,
    /// Locks the rows that it reads: `FOR UPDATE`, `FOR SHARE`.
    Lock,
    /// Adds rows, by `INSERT` or in a `MERGE`.
    Insert,
    /// Changes rows, by `UPDATE`, `ON CONFLICT` or in a `MERGE`.
    Update,
    /// Removes rows, by `DELETE`, `TRUNCATE` or in a `MERGE`.
    Delete,
    /// Makes, changes or drops tables, views and indices.
    Ddl,
    /// `COPY` from or to the client. To or from a file or a program of the server it is refused.
    Copy,
    /// `CALL`: what a procedure does is in the database.
    Call,
    /// `DO`: a program.
    Do,
    /// `SET`, `RESET`.
    Set,
    /// `SHOW`.
    Show,
    /// `BEGIN`, `COMMIT`, `ROLLBACK`, savepoints.
    Transaction,
    /// `EXPLAIN`, beside the kinds of what it explains.
    Explain,
}

/// The name of a table, a function or a setting, as the database compares it: from the outermost part to its own name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(Vec<String>);

/// What one statement does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    kinds: BTreeSet<Kind>,
    reads: BTreeSet<Name>,
    writes: BTreeSet<Name>,
    calls: BTreeSet<Name>,
    sets: BTreeSet<Name>,
}

/// Statements that came in one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statements {
    reduced: String,
    each: Vec<Statement>,
}

impl Name {
    /// From the outermost part (a catalog or a schema, where there is one) to its own name.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Kind {
    /// As a policy names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Lock => "lock",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Ddl => "ddl",
            Self::Copy => "copy",
            Self::Call => "call",
            Self::Do => "do",
            Self::Set => "set",
            Self::Show => "show",
            Self::Transaction => "transaction",
            Self::Explain => "explain",
        }
    }
}

impl Statement {
    /// Of which kinds it is; at least one.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        self.kinds.iter().copied()
    }

    /// Tables and views that it reads, as they are written: whoever knows the search path resolves those without a schema.
    pub fn reads(&self) -> impl Iterator<Item = &Name> {
        self.reads.iter()
    }

    /// Tables and views that it writes, makes or drops.
    pub fn writes(&self) -> impl Iterator<Item = &Name> {
        self.writes.iter()
    }

    /// Functions, procedures and types that it uses and that are not known to be without effects.
    pub fn calls(&self) -> impl Iterator<Item = &Name> {
        self.calls.iter()
    }

    /// Settings of the session that it changes.
    pub fn sets(&self) -> impl Iterator<Item = &Name> {
        self.sets.iter()
    }
}

impl Statements {
    /// Reads a text of one statement or of several.
    ///
    /// # Errors
    ///
    /// When it is no text, is longer than [`limits::STATEMENT_BYTES`], could mean two things, is not in the grammar, or does something
    /// that is not known here. An empty text is no error: it has no statement.
    pub fn read(text: &[u8], dialect: Dialect) -> Result<Self, Fault> {
        let reduced = scan::reduce(text, dialect)?;
        let tokens = tokens(&reduced, dialect)?;
        let each = match do_block(&tokens, dialect) {
            Some(block) => vec![block],
            None => parse(tokens, dialect)?.iter().map(|parsed| statement::walk(parsed, dialect)).collect::<Result<_, _>>()?,
        };
        Ok(Self { reduced, each })
    }

    /// Each of them, in order.
    #[must_use]
    pub fn each(&self) -> &[Statement] {
        &self.each
    }

    /// The text without its values and comments: the same for all calls of one statement.
    #[must_use]
    pub fn reduced(&self) -> &str {
        &self.reduced
    }
}

fn grammar(dialect: Dialect) -> &'static dyn sqlparser::dialect::Dialect {
    match dialect {
        Dialect::Postgres => &PostgreSqlDialect {},
        Dialect::ClickHouse => &ClickHouseDialect {},
        Dialect::Trino => &GenericDialect {},
    }
}

/// The tokens of a reduced text.
fn tokens(reduced: &str, dialect: Dialect) -> Result<Vec<Token>, Fault> {
    let tokens = Tokenizer::new(grammar(dialect), reduced).tokenize().map_err(|_| Fault::Grammar)?;
    // A tokenizer that loses a character reads another text than the database.
    if tokens.iter().map(ToString::to_string).collect::<String>() != reduced {
        return Err(Fault::Grammar);
    }
    names::operands_are_there(&tokens)?;
    // Chains of operators become as deep as they are long, and what takes them apart goes down as deep.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all signs")]
    let deep = |token: &&Token| match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Comma | Token::LParen | Token::RParen | Token::Period | Token::Whitespace(_) | Token::SemiColon => false,
        Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) => false,
        _ => true,
    };
    if tokens.iter().filter(deep).count() > limits::STATEMENT_OPERATORS {
        return Err(Fault::TooLong);
    }
    Ok(tokens)
}

fn parse(tokens: Vec<Token>, dialect: Dialect) -> Result<Vec<sqlparser::ast::Statement>, Fault> {
    let mut parser = Parser::new(grammar(dialect)).with_recursion_limit(limits::STATEMENT_DEPTH).with_tokens(tokens);
    let statements = parser.parse_statements().map_err(|_| Fault::Grammar)?;
    // It ends at an `END` as well, which in PostgreSQL may be a column's name.
    if parser.peek_token_ref().token != Token::EOF {
        return Err(Fault::Grammar);
    }
    Ok(statements)
}

/// `DO`, which the grammar does not have: a program in a text, alone.
fn do_block(tokens: &[Token], dialect: Dialect) -> Option<Statement> {
    let mut rest = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_) | Token::SemiColon)).peekable();
    let word = |token: &Token, wanted: &str| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case(wanted));
    rest.next_if(|token| dialect == Dialect::Postgres && word(token, "do"))?;
    let (mut programs, mut languages) = (0, 0);
    while let Some(token) = rest.next() {
        if matches!(token, Token::SingleQuotedString(_)) {
            programs += 1;
        } else if word(token, "language") {
            rest.next_if(|token| matches!(token, Token::Word(_)))?;
            languages += 1;
        } else {
            return None;
        }
    }
    (programs == 1 && languages <= 1).then(|| Statement { kinds: BTreeSet::from([Kind::Do]), ..Statement::default() })
}
