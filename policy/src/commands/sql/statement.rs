//! Statements as a whole.

use sqlparser::ast::{
    ColumnDef, ColumnOption, ColumnOptionDef, CopySource, CopyTarget, CreateTable, CreateView, Expr, Function, ObjectType,
    ResetStatement, Set, SetAssignment, Statement, Truncate, TruncateTableTarget,
};

use super::names::{Walk, Walked, absent};
use super::{Dialect, Fault, Kind, Name};

/// What a statement does, member by member.
pub(super) fn walk(statement: &Statement, dialect: Dialect) -> Result<super::Statement, Fault> {
    let mut walk = Walk::new(dialect);
    walk.statement(statement)?;
    if dialect == Dialect::Postgres {
        walk.dotted_calls();
    }
    Ok(walk.found)
}

impl Walk {
    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever is not listed is refused")]
    fn statement(&mut self, statement: &Statement) -> Walked {
        match statement {
            Statement::Query(query) => {
                self.query(query)?;
                // `VALUES` alone: in an `INSERT` it reads nothing.
                if self.found.kinds.is_empty() {
                    self.is(Kind::Select);
                }
                Ok(())
            }
            Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_) => self.change(statement),
            Statement::Copy { source, to, target, options: _, legacy_options: _, payload } => {
                absent(payload.is_none(), "rows within the text of a COPY")?;
                self.copy(source, *to, target)
            }
            Statement::Call(Function { name, args: arguments, .. }) => {
                self.is(Kind::Call);
                let name = self.name(name)?;
                self.found.calls.insert(name);
                self.function_arguments(arguments)
            }
            Statement::StartTransaction {
                modes: _,
                begin: _,
                transaction: _,
                modifier,
                statements,
                exception,
                has_end_keyword: _,
            } => {
                absent(modifier.is_none() && statements.is_empty() && exception.is_none(), "a block of BEGIN and END")?;
                self.is(Kind::Transaction);
                Ok(())
            }
            Statement::Commit { chain: _, end: _, modifier } => {
                absent(modifier.is_none(), "a block of BEGIN and END")?;
                self.is(Kind::Transaction);
                Ok(())
            }
            Statement::Rollback { .. } | Statement::Savepoint { .. } | Statement::ReleaseSavepoint { .. } => {
                self.is(Kind::Transaction);
                Ok(())
            }
            Statement::Set(set) => self.set(set),
            Statement::Reset(ResetStatement { reset }) => self.reset(reset),
            Statement::ShowVariable { variable } => {
                self.is(Kind::Show);
                absent(self.dialect == Dialect::Postgres && !variable.is_empty(), "a SHOW of something else than a setting")
            }
            Statement::Explain {
                describe_alias: _,
                analyze: _,
                verbose: _,
                query_plan,
                estimate: _,
                statement,
                format: _,
                options: _,
            } => {
                absent(!query_plan, "EXPLAIN QUERY PLAN")?;
                self.statement(statement)?;
                self.is(Kind::Explain);
                Ok(())
            }
            Statement::Truncate(Truncate {
                table_names,
                partitions,
                table: _,
                if_exists: _,
                identity: _,
                cascade,
                on_cluster,
            }) => {
                let cascades = matches!(cascade, Some(sqlparser::ast::CascadeOption::Cascade));
                absent(
                    partitions.is_none() && on_cluster.is_none() && !cascades,
                    "TRUNCATE … CASCADE, of a partition or a cluster",
                )?;
                self.is(Kind::Delete);
                table_names.iter().try_for_each(|TruncateTableTarget { name, .. }| self.writes(name))
            }
            Statement::Drop { object_type, if_exists: _, names, cascade, restrict: _, purge: _, temporary: _, table } => {
                let kind = matches!(object_type, ObjectType::Table | ObjectType::View | ObjectType::MaterializedView);
                absent(kind && !cascade && table.is_none(), "DROP of something else than a table or a view, or CASCADE")?;
                self.is(Kind::Ddl);
                names.iter().try_for_each(|name| self.writes(name))
            }
            Statement::CreateTable(table) if self.dialect == Dialect::Postgres => self.create_table(table),
            Statement::CreateView(CreateView { name, query, to, .. }) => {
                absent(to.is_none() && self.dialect == Dialect::Postgres, "a view of another database")?;
                self.is(Kind::Ddl);
                self.writes(name)?;
                self.query(query)
            }
            _ => Err(Fault::Unknown("a statement that is not one of those that are judged")),
        }
    }

    /// A table of its own columns, or of what a query finds.
    fn create_table(&mut self, table: &CreateTable) -> Walked {
        let CreateTable { name, columns, constraints, query, like, clone, inherits, partition_of, partition_by, .. } = table;
        absent(partition_by.is_none(), "partitions of a table")?;
        absent(constraints.is_empty() && like.is_none() && clone.is_none(), "constraints of a table, or a table like another")?;
        absent(inherits.is_none() && partition_of.is_none(), "a table that belongs to another")?;
        self.is(Kind::Ddl);
        self.writes(name)?;
        for ColumnDef { name, data_type, options } in columns {
            self.plain(name)?;
            self.data_type(data_type)?;
            for ColumnOptionDef { name: _, option } in options {
                #[expect(clippy::wildcard_enum_match_arm, reason = "whatever is not listed is refused")]
                match option {
                    ColumnOption::Null | ColumnOption::NotNull | ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_) => {}
                    ColumnOption::Default(value) => self.expression(value)?,
                    _ => return Err(Fault::Unknown("an option of a column")),
                }
            }
        }
        query.as_deref().map_or(Ok(()), |query| self.query(query))
    }

    fn copy(&mut self, source: &CopySource, to: bool, target: &CopyTarget) -> Walked {
        self.is(Kind::Copy);
        match target {
            CopyTarget::Stdin | CopyTarget::Stdout => {}
            CopyTarget::File { .. } => return Err(Fault::Unknown("COPY with a file of the server")),
            CopyTarget::Program { .. } => return Err(Fault::Unknown("COPY with a program of the server")),
        }
        match source {
            CopySource::Table { table_name, columns } => {
                self.plain_all(columns)?;
                if to { self.reads(table_name) } else { self.writes(table_name) }
            }
            CopySource::Query(query) => self.query(query),
        }
    }

    fn set(&mut self, set: &Set) -> Walked {
        self.is(Kind::Set);
        #[expect(clippy::wildcard_enum_match_arm, reason = "whatever is not listed is refused")]
        match set {
            Set::SingleAssignment { scope: _, hivevar, variable, values } => {
                absent(!hivevar, "a variable of Hive")?;
                self.changes(variable)?;
                // `on` is a word of the language, and a value here.
                self.all(values.iter().filter(|value| !matches!(value, Expr::Identifier(_))))
            }
            Set::MultipleAssignments { assignments } => {
                assignments.iter().try_for_each(|SetAssignment { scope: _, name, value }| {
                    self.changes(name)?;
                    self.expression(value)
                })
            }
            Set::SetTimeZone { local: _, value } => {
                self.found.sets.insert(Name(vec!["timezone".to_owned()]));
                self.expression(value)
            }
            Set::SetNames { .. } => {
                self.found.sets.insert(Name(vec!["client_encoding".to_owned()]));
                Ok(())
            }
            Set::SetRole { .. } => {
                self.found.sets.insert(Name(vec!["role".to_owned()]));
                Ok(())
            }
            Set::SetTransaction { snapshot, session: _, modes: _ } => {
                absent(snapshot.is_none(), "a snapshot of another transaction")?;
                self.is(Kind::Transaction);
                Ok(())
            }
            _ => Err(Fault::Unknown("a form of SET")),
        }
    }

    fn changes(&mut self, setting: &sqlparser::ast::ObjectName) -> Walked {
        let name = Name(self.name(setting)?.parts().iter().map(|part| part.to_ascii_lowercase()).collect());
        self.found.sets.insert(name);
        Ok(())
    }

    fn reset(&mut self, reset: &sqlparser::ast::Reset) -> Walked {
        self.is(Kind::Set);
        match reset {
            sqlparser::ast::Reset::ALL | sqlparser::ast::Reset::SessionAuthorization => {
                Err(Fault::Unknown("RESET of everything or of who it is"))
            }
            sqlparser::ast::Reset::ConfigurationParameter(name) => self.changes(name),
        }
    }
}
