//! PostgreSQL's dialect to what DataFusion parses and plans: everything that differs, in one place.
//!
//! | PostgreSQL | here |
//! |---|---|
//! | `pg_catalog.f(x)` | `f(x)` |
//! | `information_schema._pg_expandarray(x)` | `unnest(x)`; its field `n` the places |
//! | `generate_subscripts(a, 1)` | the places of the elements |
//! | `a LIKE b ESCAPE 'c'` | the pattern with backslashes |
//! | `a OPERATOR(pg_catalog.~) b` | `a ~ b` |
//! | `a COLLATE "C"` | `a` |
//! | `a -> b`, `->>`, `#>`, `#>>` | functions |
//! | `a ~~ b`, `!~~`, `~~*` | LIKE, NOT LIKE, ILIKE |
//! | `'t'::regclass`, `$1::regclass` | the number of the relation |
//! | `'f'::regproc` | the name of the function |
//! | `x::regclass`, `x::regtype`, … of anything else | its name |
//! | `x::name`, `::text`, `::json`, `::uuid`, … | text |
//! | `x::oid`, `::xid` | integer |
//! | `x::"char"` | text |
//! | `'{1,2}'::int[]`, `x::text[]` | an array |
//! | `a = ANY (array)` of a column of arrays in text | `array_has` |
//! | `ARRAY(SELECT a …)` | `(SELECT array_agg(a) …)` |
//! | a sub-query of the catalog that gives one value of its outer row | its least value, NULL where it finds nothing |
//! | `current_user`, `current_database()`, `version()`, `current_setting('x')` … | what the session has |
//! | `ONLY t`, `FOR UPDATE`, `FOR SHARE` | left out |

use super::scope::Session;
use crate::catalog;
use crate::error::{Code, PgError};
use crate::types;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, LimitClause, ObjectName, ObjectNamePart,
    Query, SelectItem, SetExpr, Statement, TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// How deeply expressions may nest: what plans and runs them goes down as deep.
const DEPTH_MAX: usize = 400;

/// Tables, views, functions and sub-queries that a statement reads from: a plan joins them one below the other.
const SOURCES_MAX: usize = 60;

/// The same with what WITH names counted as often as it is named: a plan has it there each time, so that a chain of names,
/// each of which stands for twice the one before, would grow without end.
const EXPANDED_MAX: usize = 240;

/// What a statement's text says.
pub(super) struct Found {
    /// The types of parameters, by number.
    pub types: BTreeMap<usize, u32>,
    /// It has something of the session in it.
    pub is_session: bool,
}

/// Rewrites a statement; `given` are the types of its first parameters, 0 where they are not known.
pub(super) fn rewrite(statement: &mut Statement, given: &[u32], session: &Session) -> Result<Found, PgError> {
    let mut rewriter = Rewriter {
        session,
        given,
        expands: false,
        parameters: BTreeMap::new(),
        is_session: false,
        depth: 0,
        sources: 0,
        queries: Vec::new(),
        last_reads_catalog: false,
    };
    match statement.visit(&mut rewriter) {
        ControlFlow::Continue(()) => {
            Ok(Found { types: rewriter.parameters, is_session: rewriter.is_session })
        }
        ControlFlow::Break(error) => Err(error),
    }
}

/// Gives the columns of a query the names that PostgreSQL gives them. DataFusion wants each name once: what comes behind
/// `NAME_END` is not shown.
pub(super) fn name_columns(statement: &mut Statement) {
    let Statement::Query(query) = statement else { return };
    name_columns_of(&mut query.body);
}

fn name_columns_of(body: &mut SetExpr) {
    let select = match body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { left, right, .. } => {
            name_columns_of(left);
            return name_columns_of(right);
        }
        SetExpr::Query(query) => return name_columns_of(&mut query.body),
        _ => return,
    };
    let is_wildcard =
        |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let has_wildcard = select.projection.iter().any(is_wildcard);
    let mut seen = std::collections::HashSet::new();
    for item in &mut select.projection {
        let (name, is_given) = match &*item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => (folded(ident), true),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(idents)) => match idents.last() {
                Some(last) => (folded(last), true),
                None => continue,
            },
            SelectItem::UnnamedExpr(expression) => (shown_name(expression), false),
            SelectItem::ExprWithAlias { alias, .. } => (folded(alias), true),
            _ => continue,
        };
        // A wildcard may bring the same name.
        let is_new =
            seen.insert(name.clone()) && !(has_wildcard && matches!(item, SelectItem::UnnamedExpr(_)));
        if is_new && is_given {
            continue;
        }
        let unique = if is_new { name } else { format!("{name}{NAME_END}{}", seen.len()) };
        seen.insert(unique.clone());
        let expr = match std::mem::replace(item, SelectItem::UnnamedExpr(null())) {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
            other => {
                *item = other;
                continue;
            }
        };
        *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', unique) };
    }
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// What PostgreSQL calls a column without a name.
fn shown_name(expression: &Expr) -> String {
    match expression {
        Expr::Identifier(ident) => folded(ident),
        Expr::CompoundIdentifier(idents) => idents.last().map_or_else(String::new, folded),
        Expr::Nested(inner) => shown_name(inner),
        Expr::Function(function) => match part(&function.name, 0).as_deref() {
            Some("json_get" | "json_get_text" | "json_path" | "json_path_text" | "array_has") | None => {
                UNNAMED.into()
            }
            Some("make_array") => "array".into(),
            Some(name) => name.to_string(),
        },
        Expr::Case { .. } => "case".into(),
        Expr::Exists { .. } => "exists".into(),
        Expr::Cast { expr, data_type, .. } => match shown_name(expr) {
            name if name == UNNAMED => oid_of(data_type)
                .and_then(types::by_oid)
                .map_or_else(|| UNNAMED.into(), |known| known.name.into()),
            name => name,
        },
        _ => UNNAMED.into(),
    }
}

/// The elements of an array with their places; pgJDBC asks for the columns of a key so.
const EXPAND: &str = "_pg_expandarray";
/// `text[]`.
const TEXT_ARRAY: u32 = 1009;
const UNNAMED: &str = "?column?";
/// Ends the part of a column's name that is shown.
pub(crate) const NAME_END: char = '\u{1}';

struct Rewriter<'a> {
    session: &'a Session,
    given: &'a [u32],
    /// `_pg_expandarray` stands somewhere.
    expands: bool,
    parameters: BTreeMap<usize, u32>,
    is_session: bool,
    depth: usize,
    sources: usize,
    /// The queries that are being visited, the innermost last.
    queries: Vec<Visited>,
    /// Whether the query that was visited last reads the catalog alone.
    last_reads_catalog: bool,
}

struct Visited {
    reads_catalog: bool,
    /// The names of its WITH that are still to be visited, the next one last, and how much those before stand for.
    names: Vec<String>,
    known: Vec<(String, usize)>,
    /// What it reads, expanded.
    sources: usize,
}

impl VisitorMut for Rewriter<'_> {
    type Break = PgError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<PgError> {
        query.locks.clear();
        for limit in limits(query) {
            if let Some(number) = placeholder(limit) {
                self.parameters.entry(number).or_insert(types::INT8);
            }
        }
        let with = query.with.iter().flat_map(|with| with.cte_tables.iter().rev());
        self.queries.push(Visited {
            reads_catalog: true,
            names: with.map(|table| folded(&table.alias.name)).collect(),
            known: Vec::new(),
            sources: 0,
        });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<PgError> {
        let Some(visited) = self.queries.pop() else { return ControlFlow::Continue(()) };
        self.last_reads_catalog = visited.reads_catalog;
        if visited.sources > EXPANDED_MAX {
            let message = format!(
                "a statement reads from at most {EXPANDED_MAX} tables and sub-queries, with what WITH names counted each \
                 time that it is named"
            );
            return ControlFlow::Break(PgError::new(Code::STATEMENT_TOO_COMPLEX, message));
        }
        if let Some(outer) = self.queries.last_mut() {
            outer.reads_catalog &= visited.reads_catalog;
            // The queries of a WITH come first, in its order.
            match outer.names.pop() {
                Some(name) => outer.known.push((name, visited.sources)),
                None => outer.sources = outer.sources.saturating_add(visited.sources),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<PgError> {
        // A database in front is this one.
        if relation.0.len() == 3 {
            let database = relation.0[0].as_ident().map(|ident| ident.value.clone());
            self.is_session = true;
            if database.as_deref() == Some(&self.session.database) {
                relation.0.remove(0);
            } else {
                let message = format!("references to other databases are not supported: {relation}");
                return ControlFlow::Break(PgError::new(Code::FEATURE_NOT_SUPPORTED, message));
            }
        }
        let names: Option<Vec<String>> = relation.0.iter().map(|part| part.as_ident().map(folded)).collect();
        let is_catalog = match names.as_deref() {
            Some([name]) => catalog::has(name),
            Some([schema, _]) => catalog::is_schema(schema),
            _ => false,
        };
        if let Some(query) = self.queries.last_mut() {
            query.reads_catalog &= is_catalog;
        }
        ControlFlow::Continue(())
    }

    /// A function in the place of a table.
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<PgError> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor
            && name.0.len() == 2
            && part(name, 0).as_deref() == Some("pg_catalog")
        {
            name.0.remove(0);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<PgError> {
        self.sources += 1;
        let named = match &*factor {
            TableFactor::Table { name, .. } if name.0.len() == 1 => name.0[0].as_ident().map(folded),
            _ => None,
        };
        let all = self.queries.iter().rev().flat_map(|query| query.known.iter().rev());
        let known = named.and_then(|named| all.clone().find(|(name, _)| *name == named));
        let weight = known.map_or(1, |(_, sources)| (*sources).max(1));
        if let Some(query) = self.queries.last_mut() {
            query.sources = query.sources.saturating_add(weight);
        }
        if self.sources > SOURCES_MAX {
            let message = format!("a statement reads from at most {SOURCES_MAX} tables and sub-queries");
            return ControlFlow::Break(PgError::new(Code::STATEMENT_TOO_COMPLEX, message));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<PgError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let error = PgError::new(
                Code::STATEMENT_TOO_COMPLEX,
                "the statement's expressions are nested too deeply",
            );
            return ControlFlow::Break(
                error.hint("a long chain of AND or OR can often be written with IN (…)"),
            );
        }
        if let Some(places) = self.expanded_places(expression) {
            *expression = places;
        }
        if let Expr::Cast { expr, data_type, .. } = expression
            && let (Some(number), Some(oid)) = (placeholder(expr), oid_of(data_type))
        {
            let oid = if oid == types::REGCLASS || oid == types::REGTYPE { types::TEXT } else { oid };
            self.parameters.entry(number).or_insert(oid);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<PgError> {
        self.depth -= 1;
        let taken = std::mem::replace(expression, null());
        match self.rewritten(taken) {
            Ok(rewritten) => {
                *expression = rewritten;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Rewriter<'_> {
    fn rewritten(&mut self, expression: Expr) -> Result<Expr, PgError> {
        match expression {
            Expr::Collate { expr, .. } => Ok(*expr),
            Expr::BinaryOp { left, op, right } => Ok(binary(left, op, right)),
            Expr::Cast { kind, expr, data_type, array, format } => {
                if kind == CastKind::TryCast || format.is_some() {
                    return Ok(Expr::Cast { kind, expr, data_type, array, format });
                }
                cast(expr, data_type)
            }
            Expr::Function(function) => self.function(function),
            Expr::Subquery(mut query) => {
                if self.last_reads_catalog && !only_one_value(&mut query) {
                    return Ok(null());
                }
                Ok(Expr::Subquery(query))
            }
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } if !is_subquery(&right) => {
                Ok(call("array_has", vec![self.array(*right), *left]))
            }
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } if !is_subquery(&right) => {
                let found = call("array_has", vec![self.array(*right), *left]);
                Ok(Expr::UnaryOp {
                    op: datafusion::sql::sqlparser::ast::UnaryOperator::Not,
                    expr: Box::new(found),
                })
            }
            Expr::Like { negated, any, expr, pattern, escape_char: Some(escape) } => {
                let pattern = Box::new(call("like_escape", vec![*pattern, Expr::Value(escape)]));
                Ok(Expr::Like { negated, any, expr, pattern, escape_char: None })
            }
            Expr::ILike { negated, any, expr, pattern, escape_char: Some(escape) } => {
                let pattern = Box::new(call("like_escape", vec![*pattern, Expr::Value(escape)]));
                Ok(Expr::ILike { negated, any, expr, pattern, escape_char: None })
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                let is_element = matches!(&access_chain[..], [AccessExpr::Dot(Expr::Identifier(name))] if folded(name) == "x");
                match self.expands && is_element {
                    true => Ok(*root),
                    false => Ok(Expr::CompoundFieldAccess { root, access_chain }),
                }
            }
            other => Ok(other),
        }
    }

    /// What `= ANY` compares with: a text such as `{1,2}` is an array here, and so is a parameter.
    fn array(&mut self, expression: Expr) -> Expr {
        let Some(number) = placeholder(&expression) else {
            return if is_text(&expression) { call("text_array", vec![expression]) } else { expression };
        };
        let given =
            number.checked_sub(1).and_then(|index| self.given.get(index)).copied().filter(|oid| *oid != 0);
        let array = given.unwrap_or(TEXT_ARRAY);
        self.parameters.entry(number).or_insert(array);
        let element = types::element_of(array).map_or("text", |element| element.name);
        call(array_type(element).unwrap_or("text_array"), vec![expression])
    }

    /// `(_pg_expandarray(a)).n` is the place of each element of the array, from 1.
    fn expanded_places(&mut self, expression: &Expr) -> Option<Expr> {
        let Expr::CompoundFieldAccess { root, access_chain } = expression else { return None };
        let [AccessExpr::Dot(Expr::Identifier(field))] = &access_chain[..] else { return None };
        let Expr::Nested(inner) = &**root else { return None };
        let Expr::Function(function) = &**inner else { return None };
        let is_it = function
            .name
            .0
            .last()
            .and_then(ObjectNamePart::as_ident)
            .is_some_and(|name| folded(name) == EXPAND);
        let FunctionArguments::List(list) = &function.args else { return None };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))] = &list.args[..] else { return None };
        if !is_it || folded(field) != "n" {
            return None;
        }
        self.expands = true;
        Some(places(array.clone()))
    }

    fn function(&mut self, mut function: Function) -> Result<Expr, PgError> {
        let schema = (function.name.0.len() == 2).then(|| part(&function.name, 0)).flatten();
        if schema.is_some_and(|schema| schema == "pg_catalog" || schema == "information_schema") {
            function.name.0.remove(0);
        }
        let Some(name) = (function.name.0.len() == 1).then(|| part(&function.name, 0)).flatten() else {
            return Ok(Expr::Function(function));
        };
        if name == EXPAND {
            self.expands = true;
            function.name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new("unnest"))]);
            return Ok(Expr::Function(function));
        }
        if name == "generate_subscripts"
            && let FunctionArguments::List(list) = &function.args
            && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(array))) = list.args.first()
        {
            return Ok(places(array.clone()));
        }
        if name == "array_upper" {
            if let Some(elements) = elements_of_first(&function.args) {
                return Ok(number(elements));
            }
            function.name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new("array_length"))]);
            return Ok(Expr::Function(function));
        }
        if name == "array"
            && let FunctionArguments::Subquery(mut query) = function.args
        {
            // Nothing of the catalog names roles, or has options.
            if self.last_reads_catalog && reads(&query, &["pg_roles", "unnest"]) {
                return Ok(null());
            }
            aggregate(&mut query, "array_agg");
            return Ok(Expr::Subquery(query));
        }
        let argument = match &function.args {
            FunctionArguments::List(list) => list.args.first().and_then(literal),
            _ => None,
        };
        let session = self.session;
        let value = match name.as_str() {
            "current_user" | "session_user" | "user" | "current_role" => Some(session.user.clone()),
            "current_database" | "current_catalog" => Some(session.database.clone()),
            "current_schema" => Some("public".to_string()),
            "version" => Some(session.version.clone()),
            "current_setting" => match argument {
                Some(setting) => Some(session.setting(&setting)?),
                None => None,
            },
            "pg_backend_pid" => {
                self.is_session = true;
                return Ok(number(session.process.into()));
            }
            "current_schemas" => {
                let schemas = ["pg_catalog", "public", "topics"].map(|schema| text(schema.to_string()));
                return Ok(call("make_array", schemas.into()));
            }
            _ => None,
        };
        match value {
            Some(value) => {
                self.is_session = true;
                Ok(text(value))
            }
            None => Ok(Expr::Function(function)),
        }
    }
}

fn binary(left: Box<Expr>, op: BinaryOperator, right: Box<Expr>) -> Expr {
    let op = match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => match parts.last().map(String::as_str) {
            Some("~") => BinaryOperator::PGRegexMatch,
            Some("~*") => BinaryOperator::PGRegexIMatch,
            Some("!~") => BinaryOperator::PGRegexNotMatch,
            Some("!~*") => BinaryOperator::PGRegexNotIMatch,
            Some("~~") => BinaryOperator::PGLikeMatch,
            Some("!~~") => BinaryOperator::PGNotLikeMatch,
            Some("=") => BinaryOperator::Eq,
            Some("<>") => BinaryOperator::NotEq,
            Some("<") => BinaryOperator::Lt,
            Some(">") => BinaryOperator::Gt,
            Some("<=") => BinaryOperator::LtEq,
            Some(">=") => BinaryOperator::GtEq,
            Some("+") => BinaryOperator::Plus,
            Some("-") => BinaryOperator::Minus,
            Some("||") => BinaryOperator::StringConcat,
            _ => BinaryOperator::PGCustomBinaryOperator(parts),
        },
        op => op,
    };
    let like = |negated, any_case| {
        let (expr, pattern) = (left.clone(), right.clone());
        match any_case {
            false => Expr::Like { negated, any: false, expr, pattern, escape_char: None },
            true => Expr::ILike { negated, any: false, expr, pattern, escape_char: None },
        }
    };
    // A list of the catalog beside an array in a text.
    if op == BinaryOperator::Eq && is_text(&right) && left.to_string().ends_with("polroles") {
        let joined = call("array_to_string", vec![*left, text(",".into())]);
        let right = text(right.to_string().trim_matches(['\'', '{', '}']).to_string());
        return Expr::BinaryOp { left: Box::new(joined), op, right: Box::new(right) };
    }
    match op {
        BinaryOperator::Arrow => call("json_get", vec![*left, *right]),
        BinaryOperator::LongArrow => call("json_get_text", vec![*left, *right]),
        BinaryOperator::HashArrow => call("json_path", vec![*left, *right]),
        BinaryOperator::HashLongArrow => call("json_path_text", vec![*left, *right]),
        BinaryOperator::PGLikeMatch => like(false, false),
        BinaryOperator::PGNotLikeMatch => like(true, false),
        BinaryOperator::PGILikeMatch => like(false, true),
        BinaryOperator::PGNotILikeMatch => like(true, true),
        op => Expr::BinaryOp { left, op, right },
    }
}

/// The name of a type as `pg_type` has it.
fn type_name(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::Custom(name, _) => {
            name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.to_lowercase())
        }
        DataType::Regclass => Some("regclass".into()),
        DataType::JSON => Some("json".into()),
        DataType::JSONB => Some("jsonb".into()),
        DataType::Uuid => Some("uuid".into()),
        _ => None,
    }
}

fn element_type(data_type: &DataType) -> Option<&DataType> {
    use datafusion::sql::sqlparser::ast::ArrayElemTypeDef;
    match data_type {
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element),
        ) => Some(element),
        _ => None,
    }
}

/// The number of a type, if it is known.
fn oid_of(data_type: &DataType) -> Option<u32> {
    if let Some(element) = element_type(data_type) {
        return types::by_oid(oid_of(element)?).map(|element| element.array).filter(|array| *array != 0);
    }
    type_name(data_type)
        .as_deref()
        .and_then(types::by_name)
        .or_else(|| types::by_name(&data_type.to_string()))
}

fn cast(expression: Box<Expr>, data_type: DataType) -> Result<Expr, PgError> {
    let to =
        |expr, data_type| Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None };
    if let Some(element) = element_type(&data_type) {
        let name = oid_of(element).and_then(types::by_oid).map_or("text", |known| known.name);
        return Ok(match array_type(name) {
            Some(function) => call(function, vec![*expression]),
            None => to(expression, data_type),
        });
    }
    let Some(name) = type_name(&data_type) else { return Ok(to(expression, data_type)) };
    let is_name = is_text(&expression) || placeholder(&expression).is_some();
    Ok(match name.as_str() {
        "regclass" if is_name => call("to_regclass", vec![*expression]),
        "regtype" if is_name => call("to_regtype", vec![*expression]),
        // `pg_type` has the names of its functions.
        "regproc" | "regprocedure" if is_text(&expression) => {
            let shown = expression.to_string();
            text(shown.trim_matches('\'').trim_start_matches("pg_catalog.").to_string())
        }
        "regproc" | "regprocedure" | "regnamespace" | "regrole" | "regoper" | "regoperator" | "regconfig"
            if is_name =>
        {
            call("to_regproc", vec![*expression])
        }
        "regclass" => call("regclass_name", vec![*expression]),
        "regtype" => call("regtype_name", vec![*expression]),
        "regproc" | "regprocedure" | "regnamespace" | "regrole" => {
            call("reg_name", vec![to(expression, DataType::Text)])
        }
        "oid" | "xid" | "cid" | "int4" | "serial" => to(expression, DataType::Integer(None)),
        "int2vector" | "oidvector" => *expression,
        "int8" => to(expression, DataType::BigInt(None)),
        "int2" => to(expression, DataType::SmallInt(None)),
        "float8" => to(expression, DataType::DoublePrecision),
        "float4" => to(expression, DataType::Real),
        "bool" => to(expression, DataType::Boolean),
        "name" | "char" | "text" | "bpchar" | "varchar" | "json" | "jsonb" | "uuid" | "unknown"
        | "cstring" | "citext" | "pg_lsn" | "inet" | "xml" | "\"char\"" => to(expression, DataType::Text),
        "timestamptz" => to(
            expression,
            DataType::Timestamp(None, datafusion::sql::sqlparser::ast::TimezoneInfo::WithTimeZone),
        ),
        _ => to(expression, data_type),
    })
}

/// The function that makes an array of a text, or of an array of another type.
fn array_type(element: &str) -> Option<&'static str> {
    match element {
        "text" | "name" | "varchar" | "bpchar" | "char" | "uuid" | "json" => Some("text_array"),
        "int2" | "int4" | "int8" | "oid" | "regclass" | "regtype" => Some("int8_array"),
        "float4" | "float8" | "numeric" => Some("float8_array"),
        _ => None,
    }
}

/// A row for each element of an array, with its place from 1.
fn places(array: Expr) -> Expr {
    let length = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(call("array_length", vec![array])),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    };
    let end = Expr::BinaryOp { left: Box::new(length), op: BinaryOperator::Plus, right: Box::new(number(1)) };
    call("unnest", vec![call("range", vec![number(1), end])])
}

/// How many elements an array has whose elements stand in the text.
fn elements_of_first(arguments: &FunctionArguments) -> Option<i64> {
    let FunctionArguments::List(list) = arguments else { return None };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(array))) = list.args.first()? else {
        return None;
    };
    let FunctionArguments::List(elements) = &array.args else { return None };
    let is_array = part(&array.name, 0).as_deref() == Some("make_array");
    i64::try_from(elements.args.len()).ok().filter(|_| is_array)
}

fn is_text(expression: &Expr) -> bool {
    matches!(expression, Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(_), .. }))
}

fn is_subquery(expression: &Expr) -> bool {
    match expression {
        Expr::Subquery(_) => true,
        Expr::Nested(inner) => is_subquery(inner),
        _ => false,
    }
}

/// `n` of `$n`.
fn placeholder(expression: &Expr) -> Option<usize> {
    match expression {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), .. }) => {
            name.strip_prefix('$')?.parse().ok()
        }
        Expr::Nested(inner) => placeholder(inner),
        _ => None,
    }
}

fn limits(query: &Query) -> impl Iterator<Item = &Expr> {
    let (limit, offset) = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        None => (None, None),
    };
    limit.into_iter().chain(offset)
}

/// DataFusion takes a correlated sub-query for a value only if it aggregates; those of the catalog look up by a key. False
/// where it never finds anything: its table is always empty, or it asks for columns with a collation of their own.
fn only_one_value(query: &mut Query) -> bool {
    if limits(query).any(|limit| limit.to_string() != "1") {
        return true;
    }
    if reads(query, &["generate_series"]) {
        // Over the elements of a list that no row has.
        return false;
    }
    let SetExpr::Select(select) = &*query.body else { return true };
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let aggregates = [
        "count",
        "sum",
        "min",
        "max",
        "avg",
        "array_agg",
        "string_agg",
        "bool_and",
        "bool_or",
        "first_value",
    ];
    let is_aggregate = select.projection.iter().any(|item| {
        let shown = item.to_string().to_lowercase();
        aggregates.iter().any(|name| shown.contains(&format!("{name}(")))
    });
    if is_grouped || is_aggregate || select.from.is_empty() {
        return true;
    }
    if reads(
        query,
        &["pg_attrdef", "pg_collation", "pg_description", "pg_policy", "pg_inherits", "pg_sequence"],
    ) {
        return false;
    }
    aggregate(query, "min");
    query.limit_clause = None;
    query.order_by = None;
    true
}

/// Whether one of these is among the tables of a query.
fn reads(query: &Query, tables: &[&str]) -> bool {
    let SetExpr::Select(select) = &*query.body else { return false };
    select.from.iter().any(|from| match &from.relation {
        TableFactor::Table { name, .. } => {
            let name =
                name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| ident.value.to_lowercase());
            name.is_some_and(|name| tables.contains(&name.as_str()))
        }
        _ => false,
    })
}

/// Puts a function around the one value that a query gives.
fn aggregate(query: &mut Query, name: &str) {
    let SetExpr::Select(select) = &mut *query.body else { return };
    let [item] = &mut select.projection[..] else { return };
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            let value = std::mem::replace(expr, null());
            *expr = call(name, vec![value]);
        }
        _ => {}
    }
    if name == "array_agg" {
        query.order_by = None;
    }
}

fn part(name: &ObjectName, index: usize) -> Option<String> {
    name.0.get(index).and_then(ObjectNamePart::as_ident).map(|ident| ident.value.to_lowercase())
}

fn literal(argument: &FunctionArg) -> Option<String> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            ..
        }))) => Some(text.clone()),
        _ => None,
    }
}

fn value(value: Value) -> Expr {
    Expr::Value(ValueWithSpan { value, span: Span::empty() })
}

fn null() -> Expr {
    value(Value::Null)
}

fn text(text: String) -> Expr {
    value(Value::SingleQuotedString(text))
}

fn number(number: i64) -> Expr {
    value(Value::Number(number.to_string(), false))
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::new(name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
