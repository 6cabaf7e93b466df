//! Queries: PostgreSQL's text in, batches of rows out, by DataFusion.
//!
//! A statement is parsed, rewritten (`rewrite`) and planned once. What it sees is found when it runs: tables look into the
//! `Scope` that goes along with each run, for the rights of who asks and the places where topics end.

mod bounded;
mod functions;
mod library;
mod point;
mod rewrite;
mod scope;
mod subscribe;

pub(crate) use functions::{Texts, function, function_of_relations};
pub(crate) use rewrite::NAME_END;
use scope::{Asker, may_read};
pub use scope::{Ends, Scope, Session};

use crate::catalog;
use crate::error::{Code, PgError};
use crate::statement::{self, Subscribe};
use crate::tables::topic::TopicTable;
use crate::tables::view::ViewTable;
use crate::tables::{Relation, RelationKind, Relations};
use crate::types;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use base::Lsn;
use broker::security::Visitor;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionStateDefaults};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::Stream;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tokio::sync::watch;
use views::ViewDefinition;

/// How deeply a statement's parentheses and sub-queries may nest.
const NESTING_MAX: usize = 50;

/// Operators of a statement: even to give a longer chain of them up takes a deep stack.
const OPERATORS_MAX: usize = 4_000;

/// Columns of an answer, as in PostgreSQL: a row of NULLs costs, too.
const COLUMNS_MAX: usize = 1_664;

const CATALOG: &str = "node";
/// Where names without a schema are looked for.
const SEARCH: &str = "search_path";

/// Plans that are kept for those who ask the same again.
const PLANS_MAX: usize = 2_000;
/// Longer texts are not kept, and no more of all together: a plan takes many times its text.
const PLAN_TEXT_BYTES_MAX: usize = 16 << 10;
const PLANS_TEXT_BYTES_MAX: usize = 512 << 10;

/// What plans are kept by: the text, and the types that were given for its parameters.
type PlanKey = (String, Vec<u32>);

pub struct Engine {
    /// Made when the first statement comes: most nodes have none, and it is megabytes of code and of functions.
    state: LazyLock<SessionState, Box<dyn FnOnce() -> SessionState + Send>>,
    relations: Relations,
    /// Of statements that say nothing of the session, as long as the relations stay as they are.
    plans: Mutex<Plans>,
    /// Told of each new snapshot of the views.
    published: watch::Receiver<Lsn>,
    memory: (Arc<dyn MemoryPool>, usize),
}

#[derive(Default)]
struct Plans {
    version: (u64, u64),
    known: HashMap<PlanKey, Arc<Planned>>,
    /// Of the texts.
    bytes: usize,
}

impl Plans {
    fn clear(&mut self) {
        self.known.clear();
        self.bytes = 0;
    }
}

/// A statement that is planned.
#[derive(Clone)]
pub struct Planned {
    pub text: Arc<str>,
    plan: LogicalPlan,
    /// The types of the parameters.
    pub parameters: Vec<u32>,
    pub columns: SchemaRef,
    /// The views that it reads.
    pub views: Vec<String>,
    /// What rights it needs: the names of all topics and views that it reads.
    reads: Vec<String>,
    /// How it is answered without DataFusion, if it asks for a row by its key.
    point: Option<point::Point>,
}

fn session_state(config: SessionConfig, environment: Arc<RuntimeEnv>, relations: &Relations) -> SessionState {
    let lists: Arc<dyn CatalogProviderList> = Arc::new(Databases { relations: relations.clone() });
    let mut scalar = bounded::bounded(library::scalar());
    scalar.extend(functions::all(relations).into_iter().map(Arc::new));
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(environment)
        .with_catalog_list(lists)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(scalar)
        .with_aggregate_functions(library::aggregates())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_table_function_list(SessionStateDefaults::default_table_functions())
        .build()
}

impl Engine {
    /// Queries have `memory_bytes` together.
    pub fn new(relations: Relations, memory_bytes: usize) -> Result<Engine, PgError> {
        let failed = |error: DataFusionError| PgError::of_datafusion(&error, "");
        // Nothing is written to the disk for a query: one that needs more memory is refused.
        let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(memory_bytes));
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(pool.clone())
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
            .build_arc()
            .map_err(failed)?;
        let mut config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG, SEARCH)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(false)
            .with_target_partitions(std::thread::available_parallelism().map_or(1, usize::from).min(4));
        let options = config.options_mut();
        options.sql_parser.dialect = datafusion::common::config::Dialect::PostgreSQL;
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.execution.time_zone = Some("+00:00".into());
        let of_state = relations.clone();
        let state = move || session_state(config, environment, &of_state);
        let (sender, published) = watch::channel(Lsn(0));
        if let Some(views) = &relations.views {
            views.subscribe(Arc::new(move |snapshot| {
                sender.send_replace(snapshot.lsn());
            }));
        }
        Ok(Engine {
            state: LazyLock::new(Box::new(state)),
            relations,
            plans: Mutex::default(),
            published,
            memory: (pool, memory_bytes),
        })
    }

    /// What all queries and sessions have, and how much it is.
    pub(crate) fn memory(&self) -> (Arc<dyn MemoryPool>, usize) {
        self.memory.clone()
    }

    pub(crate) fn published(&self) -> watch::Receiver<Lsn> {
        self.published.clone()
    }

    pub fn relations(&self) -> &Relations {
        &self.relations
    }

    /// Plans a query; `given` are the types of its first parameters, 0 where they are to be found out.
    /// To `visitor` there is nothing but what they may read.
    pub async fn plan(
        &self,
        text: &str,
        given: &[u32],
        session: &Session,
        visitor: &Visitor,
    ) -> Result<Arc<Planned>, PgError> {
        let version = self.relations.version();
        let key = (text.to_string(), given.to_vec());
        {
            let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
            if plans.version != version {
                plans.clear();
                plans.version = version;
            }
            if let Some(planned) = plans.known.get(&key)
                && planned.reads.iter().all(|name| may_read(visitor, name))
            {
                return Ok(planned.clone());
            }
        }
        let (planned, is_session) = self.plan_anew(text, given, session, visitor).await?;
        let planned = Arc::new(planned);
        if !is_session && text.len() <= PLAN_TEXT_BYTES_MAX {
            let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
            if plans.version == version {
                if plans.known.len() >= PLANS_MAX || plans.bytes + text.len() > PLANS_TEXT_BYTES_MAX {
                    plans.clear();
                }
                if plans.known.insert(key, planned.clone()).is_none() {
                    plans.bytes += text.len();
                }
            }
        }
        Ok(planned)
    }

    /// The plan, and whether it has anything of the session in it.
    async fn plan_anew(
        &self,
        text: &str,
        given: &[u32],
        session: &Session,
        visitor: &Visitor,
    ) -> Result<(Planned, bool), PgError> {
        let mut statement = parse(text)?;
        let rewrite::Found { types: told, is_session } = rewrite::rewrite(&mut statement, given, session)?;
        let asked = point::asked(&statement);
        rewrite::name_columns(&mut statement);
        let statement = DataFusionStatement::Statement(Box::new(statement));
        let failed = |error: DataFusionError| PgError::of_datafusion(&error, text);
        let (views, reads) = self.check_relations(&statement, text, visitor)?;
        let plan = self.state.statement_to_plan(statement).await.map_err(failed)?;
        let allowed =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        allowed.verify_plan(&plan).map_err(|_| only_reads())?;
        let found = plan.get_parameter_fields().map_err(failed)?;
        let numbers = found.keys().filter_map(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let count = numbers.max().unwrap_or(0).max(given.len());
        if count > crate::wire::PARAMETERS_MAX {
            return Err(PgError::new(Code::LIMIT_EXCEEDED, "a statement has too many parameters"));
        }
        let parameters = (1..=count).map(|number| {
            let given = given.get(number - 1).copied().filter(|oid| *oid != 0 && *oid != types::UNKNOWN);
            let found =
                found.get(&format!("${number}")).and_then(Option::as_ref).map(|field| types::oid_of(field));
            given.or_else(|| told.get(&number).copied()).or(found).unwrap_or(types::TEXT)
        });
        let parameters = parameters.collect();
        let columns: SchemaRef = Arc::new(plan.schema().as_arrow().clone());
        if columns.fields().len() > COLUMNS_MAX {
            let words = format!("target lists can have at most {COLUMNS_MAX} entries");
            return Err(PgError::new(Code::TOO_MANY_COLUMNS, words));
        }
        let point = asked.and_then(|asked| point::Point::of(asked, &self.relations, &columns));
        Ok((Planned { text: text.into(), plan, parameters, columns, views, reads, point }, is_session))
    }

    /// The view that a subscription is to, if `visitor` may read it.
    pub(crate) fn subscribed(
        &self,
        subscribe: &Subscribe,
        visitor: &Visitor,
    ) -> Result<Arc<ViewDefinition>, PgError> {
        subscribe::subscribed(&self.relations, subscribe, visitor)
    }

    /// The changes of a view from now on, or with all that it has now in front, as long as `rights` has it.
    pub(crate) fn subscribe(
        &self,
        subscribe: &Subscribe,
        view: &ViewDefinition,
        scope: &Scope,
        rights: subscribe::Rights,
    ) -> Result<(SchemaRef, impl Stream<Item = DataFusionResult<RecordBatch>> + Send + use<>), PgError> {
        subscribe::begin(&self.relations, self.published(), subscribe, view, scope, rights)
    }

    /// Runs a planned query with its parameters.
    pub async fn run(
        &self,
        planned: &Planned,
        values: Vec<ScalarValue>,
        scope: Scope,
    ) -> Result<SendableRecordBatchStream, PgError> {
        let failed = |error: DataFusionError| PgError::of_datafusion(&error, &planned.text);
        if let Some(point) = &planned.point
            && let Some(batch) = point.look_up(&values, &scope, &planned.columns)?
        {
            let schema = batch.schema();
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)]))));
        }
        let mut plan = planned.plan.clone();
        if !planned.parameters.is_empty() {
            plan = plan.replace_params_with_values(&ParamValues::from(values)).map_err(failed)?;
        }
        let mut state = self.state.clone();
        let mut config = state.config().clone();
        config.options_mut().extensions.insert(Asker(scope.visitor.clone()));
        let config = config.with_extension(Arc::new(scope));
        *state.config_mut() = config;
        state.mark_start_execution();
        let physical = state.create_physical_plan(&plan).await.and_then(yielding).map_err(failed)?;
        execute_stream(physical, state.task_ctx()).map_err(failed)
    }

    /// A relation that is not there is told by its name, with one that is near. Gives the views among them, and the names
    /// of those whose READ right is needed.
    fn check_relations(
        &self,
        statement: &DataFusionStatement,
        text: &str,
        visitor: &Visitor,
    ) -> Result<(Vec<String>, Vec<String>), PgError> {
        let (mut views, mut reads) = (Vec::new(), Vec::new());
        let references = self.state.resolve_table_references(statement);
        for reference in references.map_err(|error| PgError::of_datafusion(&error, text))? {
            let name = reference.table();
            let is_known = match reference.schema() {
                Some(schema) if catalog::is_schema(schema) => {
                    catalog::table(schema, name, &self.relations).is_some()
                }
                schema => {
                    let found = self.relations.find(schema, name);
                    let found = found.filter(|relation| may_read(visitor, relation.right()));
                    reads.extend(found.as_ref().map(|relation| relation.right().to_string()));
                    if found.as_ref().is_some_and(|found| matches!(found.kind, RelationKind::View(_))) {
                        views.push(name.to_string());
                    }
                    found.is_some()
                        || (schema.is_none() && catalog::table("pg_catalog", name, &self.relations).is_some())
                }
            };
            // A function such as generate_series stands where a table could.
            if is_known || self.state.table_functions().contains_key(name) {
                continue;
            }
            let shown =
                reference.schema().map_or_else(|| name.to_string(), |schema| format!("{schema}.{name}"));
            let mut error =
                PgError::new(Code::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"));
            let mut all = self.relations.all();
            all.retain(|relation| may_read(visitor, relation.right()));
            if let Some(near) = base::nearest(name, all.iter().map(|relation| relation.name.as_str())) {
                error.hint = Some(format!("did you mean \"{near}\"?"));
            }
            error.position = crate::error::position_of(text, name);
            return Err(error);
        }
        Ok((views, reads))
    }
}

/// What joins makes many rows of few, and whoever counts them asks for the next batch at once: between two of them others
/// have their turn, and a query can be cancelled. Where rows are read, DataFusion does the same by itself.
fn yielding(plan: Arc<dyn ExecutionPlan>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let yielding = plan.transform_up(|node| match node.children().len() {
        0 | 1 => Ok(Transformed::no(node)),
        _ => Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)),
    });
    yielding.map(|done| done.data)
}

fn only_reads() -> PgError {
    PgError::new(Code::READ_ONLY, "this port reads: a query that writes is refused")
}

/// One query or EXPLAIN of one.
fn parse(text: &str) -> Result<Statement, PgError> {
    if statement::operators(text)? > OPERATORS_MAX {
        let error = PgError::new(
            Code::STATEMENT_TOO_COMPLEX,
            format!("the statement has more than {OPERATORS_MAX} operators (a JOIN or a UNION counts as 80)"),
        );
        return Err(error.hint("a long chain of AND or OR can often be written with IN (…)"));
    }
    let failed = |error| PgError::of_parser(&error, text);
    let dialect = PostgreSqlDialect {};
    let mut parser =
        Parser::new(&dialect).with_recursion_limit(NESTING_MAX).try_with_sql(text).map_err(failed)?;
    let mut statements = parser.parse_statements().map_err(failed)?;
    let statement = match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => statement,
        (None, _) => return Err(PgError::new(Code::SYNTAX_ERROR, "there is no statement")),
        (Some(_), false) => {
            return Err(PgError::new(
                Code::SYNTAX_ERROR,
                "cannot insert multiple commands into a prepared statement",
            ));
        }
    };
    match &statement {
        Statement::Query(_) => Ok(statement),
        Statement::Explain { statement: inner, .. } if matches!(**inner, Statement::Query(_)) => {
            Ok(statement)
        }
        _ => Err(only_reads()),
    }
}

/// One database, whatever it is called.
#[derive(Debug)]
struct Databases {
    relations: Relations,
}

impl CatalogProviderList for Databases {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.into()]
    }

    fn catalog(&self, _: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(Database { relations: self.relations.clone() }))
    }
}

#[derive(Debug)]
struct Database {
    relations: Relations,
}

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        ["public", "topics", "pg_catalog", "information_schema"].map(String::from).into()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(Tables { schema: name.to_string(), relations: self.relations.clone() }))
    }
}

#[derive(Debug)]
struct Tables {
    schema: String,
    relations: Relations,
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if catalog::is_schema(&self.schema) {
            return Ok(catalog::table(&self.schema, name, &self.relations));
        }
        let schema = (self.schema != SEARCH).then_some(self.schema.as_str());
        match self.relations.find(schema, name) {
            Some(relation) => Ok(Some(provider(&self.relations, &relation))),
            None if schema.is_none() => Ok(catalog::table("pg_catalog", name, &self.relations)),
            None => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        let schema = (self.schema != SEARCH).then_some(self.schema.as_str());
        self.relations.find(schema, name).is_some()
    }
}

fn provider(relations: &Relations, relation: &Relation) -> Arc<dyn TableProvider> {
    match &relation.kind {
        RelationKind::Topic(topic) => {
            Arc::new(TopicTable { log: relations.log.clone(), topic: topic.clone() })
        }
        RelationKind::View(definition) => Arc::new(ViewTable { definition: definition.clone() }),
    }
}
