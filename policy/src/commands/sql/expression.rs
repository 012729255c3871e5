//! Expressions, and the functions that they call.

use sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CaseWhen, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, InTarget, Interval, LambdaFunction, ObjectName, Subscript, TypedString, Value,
    ValueWithSpan, WindowFrame, WindowFrameBound, WindowSpec, WindowType,
};

use super::functions;
use super::names::{Walk, Walked, absent};
use super::{Dialect, Fault, Name};

impl Walk {
    pub(super) fn all<'e>(&mut self, expressions: impl IntoIterator<Item = &'e Expr>) -> Walked {
        expressions.into_iter().try_for_each(|expression| self.expression(expression))
    }

    pub(super) fn maybe(&mut self, expression: Option<&Expr>) -> Walked {
        self.all(expression)
    }

    #[expect(clippy::too_many_lines, reason = "one line for each form that there is")]
    pub(super) fn expression(&mut self, expression: &Expr) -> Walked {
        match expression {
            Expr::Identifier(name) => self.plain(name),
            Expr::CompoundIdentifier(parts) => {
                self.plain_all(parts)?;
                if let [.., of, own] = parts.as_slice() {
                    self.dotted.push((self.ident(of), self.ident(own)));
                }
                Ok(())
            }
            Expr::Value(value) => self.value(value),
            Expr::IsFalse(one)
            | Expr::IsNotFalse(one)
            | Expr::IsTrue(one)
            | Expr::IsNotTrue(one)
            | Expr::IsNull(one)
            | Expr::IsNotNull(one)
            | Expr::IsUnknown(one)
            | Expr::IsNotUnknown(one)
            | Expr::IsJson { expr: one, kind: _, unique_keys: _, negated: _ }
            | Expr::IsNormalized { expr: one, form: _, negated: _ }
            | Expr::UnaryOp { op: _, expr: one }
            | Expr::Nested(one)
            | Expr::Extract { field: _, syntax: _, expr: one }
            | Expr::Ceil { expr: one, field: _ }
            | Expr::Floor { expr: one, field: _ } => self.expression(one),
            Expr::Collate { expr, collation } => {
                self.name(collation)?;
                self.expression(expr)
            }
            Expr::IsDistinctFrom(one, other) | Expr::IsNotDistinctFrom(one, other) => self.all([&**one, other]),
            Expr::In { expr, target, negated: _, global: _ } => {
                self.expression(expr)?;
                match target {
                    InTarget::List(list) => {
                        self.tables_in(list)?;
                        self.all(list)
                    }
                    InTarget::Subquery(query) => self.query(query),
                    InTarget::Unnest(array) => self.expression(array),
                    InTarget::Table { name, args: None } => self.reads(name),
                    InTarget::Table { name, args: Some(args) } => {
                        self.calls(name)?;
                        self.arguments(args)
                    }
                }
            }
            Expr::Between { expr, negated: _, low, high } => self.all([&**expr, low, high]),
            Expr::BinaryOp { left, op, right } | Expr::AnyOp { left, compare_op: op, right, is_some: _ } => {
                operator(op)?;
                self.all([&**left, right])
            }
            Expr::AllOp { left, compare_op, right } => {
                operator(compare_op)?;
                self.all([&**left, right])
            }
            Expr::Like { negated: _, any: _, expr, pattern, escape_char }
            | Expr::ILike { negated: _, any: _, expr, pattern, escape_char }
            | Expr::SimilarTo { negated: _, expr, pattern, escape_char } => {
                self.all([&**expr, pattern])?;
                self.maybe(escape_char.as_deref())
            }
            Expr::Cast { kind: _, expr, data_type, format } => {
                absent(format.is_none(), "a cast with a format")?;
                self.data_type(data_type)?;
                self.expression(expr)
            }
            Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax }) => {
                absent(!uses_odbc_syntax, "ODBC")?;
                self.value(value)?;
                self.data_type(data_type)
            }
            Expr::AtTimeZone { timestamp, time_zone } => self.all([&**timestamp, time_zone]),
            Expr::Position { expr, r#in } => self.all([&**expr, r#in]),
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                self.expression(expr)?;
                self.all([substring_from, substring_for].into_iter().flatten().map(|part| &**part))
            }
            Expr::Trim { trim_where: _, trim_what, expr, trim_characters } => {
                self.maybe(trim_what.as_deref())?;
                self.expression(expr)?;
                self.all(trim_characters.iter().flatten())
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.all([&**expr, overlay_what, overlay_from])?;
                self.maybe(overlay_for.as_deref())
            }
            Expr::Function(function) => self.function(function),
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.maybe(operand.as_deref())?;
                for CaseWhen { condition, result } in conditions {
                    self.all([condition, result])?;
                }
                self.maybe(else_result.as_deref())
            }
            Expr::Exists { subquery, negated: _ } | Expr::Subquery(subquery) => self.query(subquery),
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => self.all(sets.iter().flatten()),
            Expr::Tuple(list) | Expr::Array(Array { elem: list, named: _ }) => self.all(list),
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.expression(root)?;
                access_chain.iter().try_for_each(|access| match access {
                    AccessExpr::Dot(Expr::Identifier(_) | Expr::Value(_)) if self.dialect != Dialect::Postgres => Ok(()),
                    // A field, or a function of what stands before it.
                    AccessExpr::Dot(Expr::Identifier(field)) => self.calls(&vec![field.clone()].into()),
                    AccessExpr::Dot(_) => Err(Fault::Unknown("a field that is computed")),
                    AccessExpr::Subscript(Subscript::Index { index }) => self.expression(index),
                    AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                        self.all([lower_bound, upper_bound, stride].into_iter().flatten())
                    }
                })
            }
            Expr::Interval(Interval {
                value,
                leading_field: _,
                leading_precision: _,
                last_field: _,
                fractional_seconds_precision: _,
            }) => self.expression(value),
            Expr::Lambda(LambdaFunction { params: _, body, syntax: _ }) if self.dialect != Dialect::Postgres => {
                self.expression(body)
            }
            Expr::Wildcard(_) => Ok(()),
            Expr::QualifiedWildcard(name, _) => self.name(name).map(drop),
            Expr::JsonAccess { .. }
            | Expr::RLike { .. }
            | Expr::Convert { .. }
            | Expr::Prefixed { .. }
            | Expr::Struct { .. }
            | Expr::Named { .. }
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::MatchAgainst { .. }
            | Expr::OuterJoin(_)
            | Expr::Prior(_)
            | Expr::Lambda(_)
            | Expr::MemberOf(_) => Err(Fault::Unknown("a form of expression of other databases")),
        }
    }

    /// In ClickHouse a name after `IN` is a table, in parentheses as well.
    fn tables_in(&mut self, list: &[Expr]) -> Walked {
        if self.dialect != Dialect::ClickHouse {
            return Ok(());
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "nothing else is a name")]
        list.iter().try_for_each(|one| match one {
            Expr::Identifier(name) => self.reads(&vec![name.clone()].into()),
            Expr::CompoundIdentifier(parts) => self.reads(&parts.clone().into()),
            Expr::Nested(inner) => self.tables_in(std::slice::from_ref(inner)),
            Expr::Tuple(inner) => self.tables_in(inner),
            _ => Ok(()),
        })
    }

    /// In PostgreSQL nothing in double quotes is a text.
    fn value(&self, value: &ValueWithSpan) -> Walked {
        let named = matches!(value.value, Value::DoubleQuotedString(_)) && self.dialect != Dialect::ClickHouse;
        absent(!named, "a name in the place of a text")
    }

    /// `g.f` where `g` is what a function in `FROM` gives: a call, unless it is a column of those that are always there.
    pub(super) fn dotted_calls(&mut self) {
        for (of, own) in std::mem::take(&mut self.dotted) {
            let given = |(name, columns): &(String, Vec<String>)| *name == of && !columns.contains(&own);
            let is_column = matches!(own.as_str(), "key" | "value" | "ordinality");
            if self.scalars.iter().any(given) && !is_column && !functions::is_harmless(self.dialect, &own) {
                self.found.calls.insert(Name(vec![own]));
            }
        }
    }

    fn function(&mut self, function: &Function) -> Walked {
        let Function { name, uses_odbc_syntax, parameters, args, within_group, filter, null_treatment: _, over } = function;
        absent(!uses_odbc_syntax, "ODBC")?;
        self.calls(name)?;
        for list in [parameters, args] {
            self.function_arguments(list)?;
        }
        self.ordered(within_group)?;
        self.maybe(filter.as_deref())?;
        match over {
            None => Ok(()),
            Some(WindowType::NamedWindow(name)) => self.plain(name),
            Some(WindowType::WindowSpec(window)) => self.window(window),
        }
    }

    /// What stands in the parentheses of a function or a procedure.
    pub(super) fn function_arguments(&mut self, arguments: &FunctionArguments) -> Walked {
        match arguments {
            FunctionArguments::None => Ok(()),
            FunctionArguments::Subquery(query) => self.query(query),
            FunctionArguments::List(FunctionArgumentList { duplicate_treatment: _, args, clauses }) => {
                self.arguments(args)?;
                clauses.iter().try_for_each(|clause| self.clause(clause))
            }
        }
    }

    fn clause(&mut self, clause: &FunctionArgumentClause) -> Walked {
        match clause {
            FunctionArgumentClause::OrderBy(order) => self.ordered(order),
            FunctionArgumentClause::Limit(expr) | FunctionArgumentClause::Where(expr) => self.expression(expr),
            FunctionArgumentClause::IgnoreOrRespectNulls(_) | FunctionArgumentClause::JsonNullClause(_) => Ok(()),
            FunctionArgumentClause::OnOverflow(_)
            | FunctionArgumentClause::Having(_)
            | FunctionArgumentClause::Separator(_)
            | FunctionArgumentClause::JsonReturningClause(_) => Err(Fault::Unknown("a clause of a function")),
        }
    }

    pub(super) fn arguments(&mut self, arguments: &[FunctionArg]) -> Walked {
        arguments.iter().try_for_each(|argument| {
            let arg = match argument {
                FunctionArg::Unnamed(arg) => arg,
                FunctionArg::Named { name, arg, operator: _ }
                | FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, operator: _ } => {
                    self.plain(name)?;
                    arg
                }
                FunctionArg::ExprNamed { name: Expr::Value(value), arg, operator: _ } => {
                    self.value(value)?;
                    arg
                }
                FunctionArg::ExprNamed { .. } => return Err(Fault::Unknown("an argument whose name is computed")),
            };
            match arg {
                FunctionArgExpr::Expr(expr) => self.expression(expr),
                FunctionArgExpr::QualifiedWildcard(name) => self.name(name).map(drop),
                FunctionArgExpr::Wildcard => Ok(()),
                FunctionArgExpr::WildcardWithOptions(options) => super::query::plain(options),
            }
        })
    }

    pub(super) fn window(&mut self, window: &WindowSpec) -> Walked {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = window;
        self.plain_all(window_name)?;
        self.all(partition_by)?;
        self.ordered(order_by)?;
        let Some(WindowFrame { units: _, start_bound, end_bound }) = window_frame else { return Ok(()) };
        [Some(start_bound), end_bound.as_ref()].into_iter().flatten().try_for_each(|bound| match bound {
            WindowFrameBound::CurrentRow => Ok(()),
            WindowFrameBound::Preceding(rows) | WindowFrameBound::Following(rows) => self.maybe(rows.as_deref()),
        })
    }

    /// A function is noted unless it is one that is known to do nothing but compute.
    pub(super) fn calls(&mut self, name: &ObjectName) -> Walked {
        let name = self.name(name)?;
        let known = match name.parts() {
            [own] => functions::is_harmless(self.dialect, own),
            [schema, own] if self.dialect == Dialect::Postgres && schema == "pg_catalog" => {
                functions::is_harmless(self.dialect, own)
            }
            _ => false,
        };
        if !known {
            self.found.calls.insert(name);
        }
        Ok(())
    }

    /// A type of PostgreSQL that looks names up (`regclass`), or that users have made, with checks of its own, is noted as a function is.
    /// The types of the others do neither.
    pub(super) fn data_type(&mut self, data_type: &DataType) -> Walked {
        use sqlparser::ast::ArrayElemTypeDef as Of;
        if self.dialect != Dialect::Postgres {
            return Ok(());
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "what PostgreSQL does not have is of some user")]
        match data_type {
            DataType::Array(
                Of::AngleBracket(inner)
                | Of::SquareBracket(inner, _)
                | Of::Parenthesis(inner)
                | Of::ParenthesisNotNull(inner)
                | Of::Qualified(inner, _),
            ) => self.data_type(inner),
            DataType::Custom(name, _) => {
                let name = self.name(name)?;
                let known = match name.parts() {
                    [own] => functions::is_plain_type(own),
                    [schema, own] => schema == "pg_catalog" && functions::is_plain_type(own),
                    _ => false,
                };
                if !known {
                    self.found.calls.insert(name);
                }
                Ok(())
            }
            DataType::Regclass => {
                self.found.calls.insert(Name(vec!["regclass".to_owned()]));
                Ok(())
            }
            DataType::Character(_)
            | DataType::Char(_)
            | DataType::CharacterVarying(_)
            | DataType::CharVarying(_)
            | DataType::Varchar(_)
            | DataType::Uuid
            | DataType::Numeric(_)
            | DataType::Decimal(_)
            | DataType::Dec(_)
            | DataType::Float(_)
            | DataType::Int2(_)
            | DataType::SmallInt(_)
            | DataType::Int(_)
            | DataType::Int4(_)
            | DataType::Int8(_)
            | DataType::Integer(_)
            | DataType::BigInt(_)
            | DataType::Float4
            | DataType::Float8
            | DataType::Real
            | DataType::DoublePrecision
            | DataType::Bool
            | DataType::Boolean
            | DataType::Date
            | DataType::Time(..)
            | DataType::Timestamp(..)
            | DataType::Interval { .. }
            | DataType::JSON
            | DataType::JSONB
            | DataType::Text
            | DataType::Bytea
            | DataType::Bit(_)
            | DataType::BitVarying(_)
            | DataType::VarBit(_)
            | DataType::GeometricType(_)
            | DataType::TsVector
            | DataType::TsQuery => Ok(()),
            _ => Err(Fault::Unknown("a type that PostgreSQL does not come with")),
        }
    }
}

/// An operator that a database's users have made is a function by another name; one that is a word is of another database.
fn operator(operator: &BinaryOperator) -> Walked {
    let other = matches!(
        operator,
        BinaryOperator::Custom(_)
            | BinaryOperator::PGCustomBinaryOperator(_)
            | BinaryOperator::Assignment
            | BinaryOperator::Xor
            | BinaryOperator::Match
            | BinaryOperator::Regexp
            | BinaryOperator::Glob
            | BinaryOperator::Is
            | BinaryOperator::IsNot
            | BinaryOperator::DuckIntegerDivide
            | BinaryOperator::MyIntegerDivide
    );
    absent(!other, "an operator that is not one of the database's own")
}
