//! Statements that change rows: `INSERT`, `UPDATE`, `DELETE`, `MERGE`, also inside of a query.

use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Delete, DoUpdate, FromTable, Insert, Merge, MergeAction, MergeClause,
    MergeInsertExpr, MergeInsertKind, MergeUpdateExpr, MergeUpdateKind, OnConflict, OnConflictAction, OnInsert, OutputClause,
    Statement, TableFactor, TableObject, TableWithJoins, Update, UpdateTableFromKind,
};

use super::names::{Walk, Walked, absent};
use super::{Fault, Kind};

impl Walk {
    #[expect(clippy::wildcard_enum_match_arm, reason = "these four change rows")]
    pub(super) fn change(&mut self, statement: &Statement) -> Walked {
        match statement {
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Merge(merge) => self.merge(merge),
            _ => Err(Fault::Unknown("a statement within a query")),
        }
    }

    fn insert(&mut self, insert: &Insert) -> Walked {
        let Insert {
            insert_token: _,
            optimizer_hints,
            or,
            ignore,
            into: _,
            table,
            table_alias,
            columns,
            by_name,
            overwrite,
            source,
            assignments,
            partitioned,
            after_columns,
            overriding: _,
            has_table_keyword: _,
            on,
            returning,
            output,
            replace_into,
            priority,
            insert_alias,
            settings,
            format_clause,
            multi_table_insert_type,
            multi_table_into_clauses,
            multi_table_when_clauses,
            multi_table_else_clause,
        } = insert;
        let plain = optimizer_hints.is_empty() && or.is_none() && !ignore && !by_name && !overwrite && !replace_into;
        let single =
            multi_table_insert_type.is_none() && multi_table_into_clauses.is_empty() && multi_table_when_clauses.is_empty();
        let ours = assignments.is_empty() && partitioned.is_none() && after_columns.is_empty() && priority.is_none();
        absent(
            plain && single && ours && multi_table_else_clause.is_none() && insert_alias.is_none(),
            "a form of INSERT of other databases",
        )?;
        absent(settings.is_none() && format_clause.is_none(), "SETTINGS, or rows in a format of their own")?;
        self.is(Kind::Insert);
        match table {
            TableObject::TableName(name) => self.writes(name)?,
            TableObject::TableFunction(_) | TableObject::TableQuery(_) => return Err(Fault::Unknown("INSERT into a function")),
        }
        self.plain_all(table_alias.as_ref().map(|alias| &alias.alias))?;
        columns.iter().try_for_each(|column| self.name(column).map(drop))?;
        if let Some(source) = source {
            self.query(source)?;
        }
        match on {
            None => {}
            Some(OnInsert::OnConflict(OnConflict { conflict_target, action })) => {
                match conflict_target {
                    None => {}
                    Some(ConflictTarget::Columns { columns, predicate }) => {
                        self.plain_all(columns)?;
                        self.maybe(predicate.as_ref())?;
                    }
                    Some(ConflictTarget::OnConstraint(name)) => self.name(name).map(drop)?,
                }
                if let OnConflictAction::DoUpdate(DoUpdate { assignments, selection }) = action {
                    self.is(Kind::Update);
                    self.assignments(assignments)?;
                    self.maybe(selection.as_ref())?;
                }
            }
            Some(OnInsert::DuplicateKeyUpdate(_)) => return Err(Fault::Unknown("ON DUPLICATE KEY")),
            Some(_) => return Err(Fault::Unknown("an ON of INSERT")),
        }
        self.output(output.as_ref())?;
        self.items(returning.as_deref().unwrap_or_default())
    }

    fn update(&mut self, update: &Update) -> Walked {
        let Update {
            update_token: _,
            optimizer_hints,
            table,
            on_cluster,
            assignments,
            from,
            selection,
            returning,
            output,
            or,
            order_by,
            limit,
            settings,
        } = update;
        let plain = optimizer_hints.is_empty() && or.is_none() && order_by.is_empty() && limit.is_none();
        absent(plain && settings.is_none() && on_cluster.is_none(), "a form of UPDATE of other databases")?;
        self.is(Kind::Update);
        self.target(table)?;
        self.assignments(assignments)?;
        match from {
            None => {}
            Some(UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from)) => self.from(from)?,
        }
        self.maybe(selection.as_ref())?;
        self.output(output.as_ref())?;
        self.items(returning.as_deref().unwrap_or_default())
    }

    fn delete(&mut self, delete: &Delete) -> Walked {
        let Delete {
            delete_token: _,
            optimizer_hints,
            tables,
            from,
            on_cluster,
            using,
            selection,
            returning,
            output,
            order_by,
            limit,
            settings,
        } = delete;
        let plain = optimizer_hints.is_empty() && order_by.is_empty() && limit.is_none() && tables.is_empty();
        absent(plain && settings.is_none() && on_cluster.is_none(), "a form of DELETE of other databases")?;
        self.is(Kind::Delete);
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = from;
        let [table] = from.as_slice() else { return Err(Fault::Unknown("DELETE from several tables")) };
        self.target(table)?;
        self.from(using.as_deref().unwrap_or_default())?;
        self.maybe(selection.as_ref())?;
        self.output(output.as_ref())?;
        self.items(returning.as_deref().unwrap_or_default())
    }

    fn merge(&mut self, merge: &Merge) -> Walked {
        let Merge { merge_token: _, optimizer_hints, into: _, table, source, on, clauses, output } = merge;
        absent(optimizer_hints.is_empty(), "a hint")?;
        self.changed(table)?;
        self.relation(source)?;
        self.expression(on)?;
        for MergeClause { when_token: _, clause_kind: _, predicate, action } in clauses {
            self.maybe(predicate.as_ref())?;
            match action {
                MergeAction::Insert(MergeInsertExpr { insert_token: _, columns, kind_token: _, kind, insert_predicate }) => {
                    self.is(Kind::Insert);
                    columns.iter().try_for_each(|column| self.name(column).map(drop))?;
                    self.maybe(insert_predicate.as_ref())?;
                    match kind {
                        MergeInsertKind::Values(values) => self.values(values)?,
                        MergeInsertKind::Row | MergeInsertKind::Wildcard => return Err(Fault::Unknown("INSERT ROW")),
                    }
                }
                MergeAction::Update(MergeUpdateExpr { update_token: _, kind, update_predicate, delete_predicate }) => {
                    self.is(Kind::Update);
                    absent(delete_predicate.is_none(), "DELETE WHERE in an UPDATE")?;
                    self.maybe(update_predicate.as_ref())?;
                    match kind {
                        MergeUpdateKind::Set(assignments) => self.assignments(assignments)?,
                        MergeUpdateKind::Wildcard => return Err(Fault::Unknown("UPDATE *")),
                    }
                }
                MergeAction::Delete { delete_token: _ } => self.is(Kind::Delete),
                MergeAction::DoNothing { .. } => {}
            }
        }
        // `WHEN … DO NOTHING` alone still reads.
        self.is(Kind::Select);
        self.output(output.as_ref())
    }

    fn assignments(&mut self, assignments: &[Assignment]) -> Walked {
        assignments.iter().try_for_each(|Assignment { target, value }| {
            match target {
                AssignmentTarget::ColumnName(name) => self.name(name).map(drop)?,
                AssignmentTarget::Tuple(names) => names.iter().try_for_each(|name| self.name(name).map(drop))?,
            }
            self.expression(value)
        })
    }

    fn output(&mut self, output: Option<&OutputClause>) -> Walked {
        match output {
            None => Ok(()),
            Some(OutputClause::Returning { returning_token: _, select_items }) => self.items(select_items),
            Some(OutputClause::Output { .. }) => Err(Fault::Unknown("OUTPUT")),
        }
    }

    /// The table of an `UPDATE` or a `DELETE`; whatever stands beside it is not judged.
    fn target(&mut self, target: &TableWithJoins) -> Walked {
        let TableWithJoins { relation, joins } = target;
        absent(joins.is_empty(), "a join in the place of a table")?;
        self.changed(relation)
    }

    fn changed(&mut self, table: &TableFactor) -> Walked {
        let TableFactor::Table {
            name, alias, args, with_hints, version, partitions, sample, json_path, index_directives, ..
        } = table
        else {
            return Err(Fault::Unknown("a change of something that is no table"));
        };
        let plain = args.is_none() && with_hints.is_empty() && version.is_none() && partitions.is_empty() && sample.is_none();
        absent(plain && json_path.is_none() && index_directives.is_empty(), "more than the name of a table that is changed")?;
        self.alias_of(alias.as_ref())?;
        self.writes(name)
    }
}
