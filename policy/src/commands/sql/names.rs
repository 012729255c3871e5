//! Names, as a database compares them, and which of them a `WITH` has given to a query.

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::{Dialect, Fault, Kind, Name, Statement};

/// What is known so far of the statement that is walked.
pub(super) struct Walk {
    pub(super) dialect: Dialect,
    pub(super) found: Statement,
    /// Names that `WITH` has given, innermost last.
    pub(super) given: Vec<String>,
}

/// What a walk of a part comes to.
pub(super) type Walked = Result<(), Fault>;

/// Refuses what is there and not judged.
pub(super) fn absent(is_absent: bool, what: &'static str) -> Walked {
    if is_absent { Ok(()) } else { Err(Fault::Unknown(what)) }
}

impl Walk {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, found: Statement::default(), given: Vec::new() }
    }

    pub(super) fn is(&mut self, kind: Kind) {
        self.found.kinds.insert(kind);
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
            ObjectNamePart::Identifier(ident) => Ok(self.ident(ident)),
            ObjectNamePart::Function(_) => Err(Fault::Unknown("a name that is computed")),
        };
        let parts: Vec<_> = name.0.iter().map(part).collect::<Result<_, _>>()?;
        absent((1..=3).contains(&parts.len()), "a name of more than three parts")?;
        Ok(Name(parts))
    }

    /// A table in the place of one: a query's own, if it is called so.
    pub(super) fn reads(&mut self, name: &ObjectName) -> Walked {
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
