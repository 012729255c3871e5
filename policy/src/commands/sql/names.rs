//! Names, as a database compares them, and which of them a `WITH` has given to a query.

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, TableAlias, TableAliasColumnDef};
use sqlparser::tokenizer::Token;

use super::{Dialect, Fault, Kind, Name, Statement};

/// What is known so far of the statement that is walked.
pub(super) struct Walk {
    pub(super) dialect: Dialect,
    pub(super) found: Statement,
    /// Names that `WITH` has given, innermost last.
    pub(super) given: Vec<String>,
    /// What functions in `FROM` are called, and the columns that they are given.
    pub(super) scalars: Vec<(String, Vec<String>)>,
    /// `a.b`, of which `b` could be a function of `a`.
    pub(super) dotted: Vec<(String, String)>,
}

/// What a walk of a part comes to.
pub(super) type Walked = Result<(), Fault>;

/// Refuses what is there and not judged.
pub(super) fn absent(is_absent: bool, what: &'static str) -> Walked {
    if is_absent { Ok(()) } else { Err(Fault::Unknown(what)) }
}

impl Walk {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, found: Statement::default(), given: Vec::new(), scalars: Vec::new(), dotted: Vec::new() }
    }

    pub(super) fn is(&mut self, kind: Kind) {
        self.found.kinds.insert(kind);
    }

    /// Refuses a name that is a word of the language: a parser that takes one for a name has lost what it stood for.
    pub(super) fn plain(&self, ident: &Ident) -> Walked {
        let reserved = ident.quote_style.is_none() && RESERVED.contains(&ident.value.to_ascii_lowercase().as_str());
        absent(!reserved, "a word of the language in the place of a name")
    }

    pub(super) fn plain_all<'i>(&self, idents: impl IntoIterator<Item = &'i Ident>) -> Walked {
        idents.into_iter().try_for_each(|ident| self.plain(ident))
    }

    pub(super) fn alias_of(&mut self, alias: Option<&TableAlias>) -> Walked {
        alias.map_or(Ok(()), |alias| self.alias(alias))
    }

    pub(super) fn alias(&mut self, alias: &TableAlias) -> Walked {
        let TableAlias { explicit: _, name, columns, at } = alias;
        absent(at.is_none(), "AT of an alias")?;
        self.plain(name)?;
        columns.iter().try_for_each(|TableAliasColumnDef { name, data_type }| {
            self.plain(name)?;
            data_type.as_ref().map_or(Ok(()), |data_type| self.data_type(data_type))
        })
    }

    /// Without quotes PostgreSQL lowers a name, Trino each one, and ClickHouse none.
    pub(super) fn ident(&self, ident: &Ident) -> String {
        match self.dialect {
            Dialect::Postgres if ident.quote_style.is_some() => ident.value.clone(),
            Dialect::Postgres | Dialect::Trino => ident.value.to_ascii_lowercase(),
            Dialect::ClickHouse => ident.value.clone(),
        }
    }

    pub(super) fn name(&self, name: &ObjectName) -> Result<Name, Fault> {
        let part = |part: &ObjectNamePart| match part {
            ObjectNamePart::Identifier(ident) => self.plain(ident).map(|()| self.ident(ident)),
            ObjectNamePart::Function(_) => Err(Fault::Unknown("a name that is computed")),
        };
        let parts: Vec<_> = name.0.iter().map(part).collect::<Result<_, _>>()?;
        absent((1..=3).contains(&parts.len()), "a name of more than three parts")?;
        Ok(Name(parts))
    }

    /// A table in the place of one: a query's own, if it is called so.
    pub(super) fn reads(&mut self, name: &ObjectName) -> Walked {
        // In the place of a table they are functions.
        let value = matches!(name.0.as_slice(), [ObjectNamePart::Identifier(Ident { value, quote_style: None, .. })]
            if VALUES.contains(&value.to_ascii_lowercase().as_str()));
        absent(!value, "a value in the place of a table")?;
        let name = self.name(name)?;
        if !matches!(name.parts(), [one] if self.given.contains(one)) {
            self.found.reads.insert(name);
        }
        Ok(())
    }

    /// What is written is always a table: a name of `WITH` is none.
    pub(super) fn writes(&mut self, name: &ObjectName) -> Walked {
        let name = self.name(name)?;
        self.found.writes.insert(name);
        Ok(())
    }
}

/// Words that are never the name of a table, a column or a function in PostgreSQL without quotes (appendix C of its manual, "reserved"),
/// without those that are functions or values themselves.
const RESERVED: &[&str] = &[
    "analyse",
    "analyze",
    "and",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "not",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "union",
    "unique",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

/// Values that are words of the language.
const VALUES: &[&str] = &[
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "system_user",
    "user",
];

/// What begins a part of a query, or ends it.
const CLAUSES: &[&str] = &[
    "from",
    "into",
    "for",
    "where",
    "group",
    "having",
    "order",
    "limit",
    "offset",
    "fetch",
    "union",
    "intersect",
    "except",
    "window",
    "returning",
    "on",
    "using",
];

/// What has an operand after it.
const OPERATORS: &[&str] = &[
    "and", "or", "xor", "not", "like", "ilike", "rlike", "regexp", "similar", "between", "in", "is", "collate", "overlaps",
    "div", "escape", "interval", "member", "over", "operator", "at", "prior", "glob", "match",
];

/// Refuses an operator before a clause: in PostgreSQL it is then a column's name, and a parser could take the clause for an operand.
pub(super) fn operands_are_there(tokens: &[Token]) -> Walked {
    let is_one = |token: &Token, words: &[&str]| matches!(token, Token::Word(word) if word.quote_style.is_none() && words.contains(&word.value.to_ascii_lowercase().as_str()));
    let tokens: Vec<_> = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let missing = tokens.windows(3).any(|three| match three {
        // The name of a type, or of a column.
        [Token::DoubleColon, _, _] => false,
        [first, _, _] if is_one(first, &["as"]) => false,
        [_, operator, clause] => is_one(operator, OPERATORS) && is_one(clause, CLAUSES),
        _ => false,
    });
    absent(!missing, "an operator without an operand")
}
