//! Queries: `WITH`, `SELECT`, `FROM`, and what hangs on to them.

use sqlparser::ast::{
    Cte, Distinct, Fetch, GroupByExpr, GroupByWithModifier, Interpolate, Join, JoinConstraint, JoinOperator, LimitClause,
    LockClause, NamedWindowDefinition, NamedWindowExpr, ObjectName, ObjectNamePart, Offset, OrderBy, OrderByExpr, OrderByKind,
    Parens, Query, Select, SelectFlavor, SelectInto, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Table, TableAlias,
    TableFactor, TableFunctionArgs, TableSample, TableSampleKind, TableWithJoins, Values, WildcardAdditionalOptions, With,
    WithFill,
};

use super::names::{Walk, Walked, absent};
use super::{Dialect, Fault, Kind};

impl Walk {
    pub(super) fn query(&mut self, query: &Query) -> Walked {
        let Query { with, body, order_by, limit_clause, fetch, locks, for_clause, settings, format_clause, pipe_operators } =
            query;
        absent(for_clause.is_none(), "FOR XML, FOR JSON")?;
        absent(settings.is_none(), "SETTINGS")?;
        absent(pipe_operators.is_empty(), "a pipe")?;
        absent(format_clause.is_none() || self.dialect == Dialect::ClickHouse, "FORMAT")?;
        let outside = self.given.len();
        if let Some(with) = with {
            self.with(with)?;
        }
        self.set_expression(body)?;
        if let Some(order_by) = order_by {
            self.order_by(order_by)?;
        }
        if let Some(limit) = limit_clause {
            self.limit(limit)?;
        }
        if let Some(Fetch { with_ties: _, percent: _, quantity }) = fetch {
            self.maybe(quantity.as_ref())?;
        }
        for LockClause { lock_type: _, of, nonblock: _ } in locks {
            self.is(Kind::Lock);
            of.as_ref().map_or(Ok(()), |of| self.name(of).map(drop))?;
        }
        self.given.truncate(outside);
        Ok(())
    }

    /// A name is given to what comes after it; with `RECURSIVE`, to all of them.
    fn with(&mut self, with: &With) -> Walked {
        let With { with_token: _, recursive, cte_tables } = with;
        let name = |walk: &Self, cte: &Cte| walk.ident(&cte.alias.name);
        if *recursive {
            let names: Vec<_> = cte_tables.iter().map(|cte| name(self, cte)).collect();
            self.given.extend(names);
        }
        for cte in cte_tables {
            let Cte { alias, query, from, materialized: _, closing_paren_token: _ } = cte;
            absent(from.is_none(), "WITH … FROM")?;
            self.alias(alias)?;
            self.query(query)?;
            if !recursive {
                self.given.push(name(self, cte));
            }
        }
        Ok(())
    }

    fn set_expression(&mut self, body: &SetExpr) -> Walked {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, op: _, set_quantifier: _, right } => {
                self.set_expression(left)?;
                self.set_expression(right)
            }
            SetExpr::Values(values) => self.values(values),
            SetExpr::Table(table) => {
                let Table { table_name, schema_name } = &**table;
                self.is(Kind::Select);
                let parts: Vec<_> = schema_name.iter().chain(table_name).cloned().collect();
                absent(table_name.is_some(), "TABLE without a name")?;
                self.reads(&parts.into())
            }
            SetExpr::Insert(statement) | SetExpr::Update(statement) | SetExpr::Delete(statement) | SetExpr::Merge(statement) => {
                self.change(statement)
            }
        }
    }

    pub(super) fn values(&mut self, values: &Values) -> Walked {
        let Values { explicit_row: _, value_keyword: _, rows } = values;
        rows.iter().try_for_each(|Parens { content, .. }| self.all(content))
    }

    fn select(&mut self, select: &Select) -> Walked {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        self.is(Kind::Select);
        absent(optimizer_hints.is_empty() && select_modifiers.is_none(), "a hint")?;
        absent(top.is_none() && exclude.is_none() && value_table_mode.is_none(), "TOP, EXCLUDE, AS STRUCT")?;
        absent(lateral_views.is_empty() && connect_by.is_empty(), "LATERAL VIEW, CONNECT BY")?;
        absent(cluster_by.is_empty() && distribute_by.is_empty() && sort_by.is_empty(), "CLUSTER BY, DISTRIBUTE BY, SORT BY")?;
        absent(qualify.is_none() && *flavor == SelectFlavor::Standard, "QUALIFY, FROM without SELECT")?;
        match distinct {
            None | Some(Distinct::All | Distinct::Distinct) => {}
            Some(Distinct::On(on)) => self.all(on)?,
        }
        if let Some(into) = into {
            self.into(into)?;
        }
        self.items(projection)?;
        self.from(from)?;
        self.maybe(prewhere.as_ref())?;
        self.maybe(selection.as_ref())?;
        self.group_by(group_by)?;
        self.maybe(having.as_ref())?;
        for NamedWindowDefinition(name, window) in named_window {
            self.plain(name)?;
            match window {
                NamedWindowExpr::NamedWindow(name) => self.plain(name)?,
                NamedWindowExpr::WindowSpec(window) => self.window(window)?,
            }
        }
        Ok(())
    }

    /// `SELECT … INTO` makes a table.
    fn into(&mut self, into: &SelectInto) -> Walked {
        use sqlparser::ast::Expr;
        let SelectInto { temporary: _, unlogged: _, table: _, targets } = into;
        self.is(Kind::Ddl);
        let [target] = targets.as_slice() else { return Err(Fault::Unknown("INTO several tables")) };
        #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else names a table")]
        match target {
            Expr::Identifier(name) => self.writes(&vec![name.clone()].into()),
            Expr::CompoundIdentifier(parts) => self.writes(&parts.clone().into()),
            _ => Err(Fault::Unknown("INTO something that is no name")),
        }
    }

    pub(super) fn items(&mut self, items: &[SelectItem]) -> Walked {
        items.iter().try_for_each(|item| match item {
            SelectItem::UnnamedExpr(expr) => self.expression(expr),
            SelectItem::ExprWithAlias { expr, alias } => {
                self.plain(alias)?;
                self.expression(expr)
            }
            SelectItem::ExprWithAliases { .. } => Err(Fault::Unknown("several names for one value")),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                self.name(name)?;
                plain(options)
            }
            SelectItem::Wildcard(options) => plain(options),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), options) => {
                plain(options)?;
                self.expression(expr)
            }
        })
    }

    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Walked {
        from.iter().try_for_each(|table| self.joined(table))
    }

    pub(super) fn joined(&mut self, table: &TableWithJoins) -> Walked {
        let TableWithJoins { relation, joins } = table;
        self.relation(relation)?;
        joins.iter().try_for_each(|Join { relation, global: _, join_operator }| {
            let of_arrays =
                matches!(join_operator, JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin);
            // What stands there is a column.
            let is_column = matches!(relation, TableFactor::Table { args: None, .. }) && self.dialect == Dialect::ClickHouse;
            if !(of_arrays && is_column) {
                absent(!of_arrays, "ARRAY JOIN of more than a column")?;
                self.relation(relation)?;
            }
            self.join(join_operator)
        })
    }

    fn join(&mut self, operator: &JoinOperator) -> Walked {
        match operator {
            JoinOperator::Join(on)
            | JoinOperator::Inner(on)
            | JoinOperator::Left(on)
            | JoinOperator::LeftOuter(on)
            | JoinOperator::Right(on)
            | JoinOperator::RightOuter(on)
            | JoinOperator::FullOuter(on)
            | JoinOperator::CrossJoin(on)
            | JoinOperator::Semi(on)
            | JoinOperator::LeftSemi(on)
            | JoinOperator::RightSemi(on)
            | JoinOperator::Anti(on)
            | JoinOperator::LeftAnti(on)
            | JoinOperator::RightAnti(on) => match on {
                JoinConstraint::On(expr) => self.expression(expr),
                JoinConstraint::Using(columns) => columns.iter().try_for_each(|column| self.name(column).map(drop)),
                JoinConstraint::UsingAlias(..) => Err(Fault::Unknown("USING … AS")),
                JoinConstraint::Natural | JoinConstraint::None => Ok(()),
            },
            JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => Ok(()),
            JoinOperator::CrossApply | JoinOperator::OuterApply | JoinOperator::AsOf { .. } | JoinOperator::StraightJoin(_) => {
                Err(Fault::Unknown("APPLY, ASOF, STRAIGHT_JOIN"))
            }
        }
    }

    pub(super) fn relation(&mut self, relation: &TableFactor) -> Walked {
        match relation {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality: _,
                partitions,
                json_path,
                sample,
                index_directives,
                inheritance: _,
            } => {
                let plain = with_hints.is_empty() && version.is_none() && partitions.is_empty() && index_directives.is_empty();
                absent(plain && json_path.is_none(), "a hint, a version or a partition of a table")?;
                self.alias_of(alias.as_ref())?;
                if let Some(sample) = sample {
                    self.sample(sample)?;
                }
                match args {
                    None => self.reads(name),
                    Some(TableFunctionArgs { args, settings }) => {
                        absent(settings.is_none(), "SETTINGS")?;
                        self.gives(alias.as_ref(), Some(name));
                        self.calls(name)?;
                        self.arguments(args)
                    }
                }
            }
            TableFactor::Derived { lateral: _, subquery, alias, sample } => {
                absent(sample.is_none(), "a sample of a query")?;
                self.alias_of(alias.as_ref())?;
                self.query(subquery)
            }
            TableFactor::Function { lateral: _, name, args, with_ordinality: _, alias } => {
                self.alias_of(alias.as_ref())?;
                self.gives(alias.as_ref(), Some(name));
                self.calls(name)?;
                self.arguments(args)
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset: _, with_offset_alias, with_ordinality: _ } => {
                absent(with_offset_alias.is_none(), "WITH OFFSET AS")?;
                self.alias_of(alias.as_ref())?;
                self.gives(alias.as_ref(), None);
                self.all(array_exprs)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                self.alias_of(alias.as_ref())?;
                self.joined(table_with_joins)
            }
            TableFactor::TableFunction { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::UnpivotExpr { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::XmlTable { .. }
            | TableFactor::SemanticView { .. } => Err(Fault::Unknown("TABLE(…), JSON_TABLE, XMLTABLE, PIVOT, MATCH_RECOGNIZE")),
        }
    }

    /// A function in `FROM` gives rows, or values of one type: of such a value `g.f` is a call of `f`.
    fn gives(&mut self, alias: Option<&TableAlias>, function: Option<&ObjectName>) {
        let columns = alias.map(|alias| alias.columns.iter().map(|column| self.ident(&column.name)).collect());
        let own = function.and_then(|name| name.0.last()).and_then(ObjectNamePart::as_ident).map(|own| self.ident(own));
        // PostgreSQL calls `trim` by what it makes of it.
        let own = own.map_or_else(|| "unnest".to_owned(), |own| if own == "trim" { "btrim".to_owned() } else { own });
        let name = alias.map_or(own, |alias| self.ident(&alias.name));
        self.scalars.push((name, columns.unwrap_or_default()));
    }

    fn sample(&mut self, sample: &TableSampleKind) -> Walked {
        let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample;
        let TableSample { modifier: _, name: _, quantity, seed: _, bucket, offset } = &**sample;
        absent(bucket.is_none(), "a bucket of a sample")?;
        self.maybe(quantity.as_ref().map(|quantity| &quantity.value))?;
        self.maybe(offset.as_ref())
    }

    pub(super) fn order_by(&mut self, order_by: &OrderBy) -> Walked {
        let OrderBy { kind, interpolate } = order_by;
        match kind {
            OrderByKind::All(_) => {}
            OrderByKind::Expressions(order) => self.ordered(order)?,
        }
        if let Some(Interpolate { exprs }) = interpolate {
            for column in exprs.iter().flatten() {
                self.maybe(column.expr.as_ref())?;
            }
        }
        Ok(())
    }

    pub(super) fn ordered(&mut self, order: &[OrderByExpr]) -> Walked {
        order.iter().try_for_each(|OrderByExpr { expr, options: _, with_fill }| {
            self.expression(expr)?;
            if let Some(WithFill { from, to, step }) = with_fill {
                for expr in [from, to, step] {
                    self.maybe(expr.as_ref())?;
                }
            }
            Ok(())
        })
    }

    fn limit(&mut self, limit: &LimitClause) -> Walked {
        match limit {
            LimitClause::LimitOffset { limit, offset, limit_by } => {
                self.maybe(limit.as_ref())?;
                self.maybe(offset.as_ref().map(|Offset { value, rows: _ }| value))?;
                self.all(limit_by)
            }
            LimitClause::OffsetCommaLimit { offset, limit } => {
                self.expression(offset)?;
                self.expression(limit)
            }
        }
    }

    fn group_by(&mut self, group_by: &GroupByExpr) -> Walked {
        let modifiers = match group_by {
            GroupByExpr::All(modifiers) => modifiers,
            GroupByExpr::Expressions(expressions, modifiers) => {
                self.all(expressions)?;
                modifiers
            }
        };
        modifiers.iter().try_for_each(|modifier| match modifier {
            GroupByWithModifier::Rollup | GroupByWithModifier::Cube | GroupByWithModifier::Totals => Ok(()),
            GroupByWithModifier::GroupingSets(sets) => self.expression(sets),
        })
    }
}

/// `*` alone.
pub(super) fn plain(options: &WildcardAdditionalOptions) -> Walked {
    let WildcardAdditionalOptions { wildcard_token: _, opt_ilike, opt_exclude, opt_except, opt_replace, opt_rename, opt_alias } =
        options;
    let none = opt_ilike.is_none() && opt_exclude.is_none() && opt_except.is_none() && opt_replace.is_none();
    absent(none && opt_rename.is_none() && opt_alias.is_none(), "* with more than itself")
}
