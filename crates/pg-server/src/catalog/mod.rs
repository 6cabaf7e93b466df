//! `pg_catalog` and `information_schema`: what clients ask about the tables before they ask the tables.
//!
//! `specs` has the columns of each table, `rows` what stands in them, made anew for each query from the topics and views
//! that whoever asks may read. A table that the node has nothing for is there and empty, so that a client's joins work.

mod cells;
mod functions;
mod rows;
mod specs;

use crate::engine::Scope;
use crate::tables::Relations;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ScalarUDF, TableType};
use datafusion::physical_plan::ExecutionPlan;
use specs::{SPECS, Spec};
use std::sync::Arc;

pub(crate) fn is_schema(schema: &str) -> bool {
    schema == "pg_catalog" || schema == "information_schema"
}

pub(crate) fn functions(relations: &Relations) -> Vec<ScalarUDF> {
    functions::all(relations)
}

/// Whether a table of `pg_catalog` has this name; without a schema they come before all others, as in PostgreSQL.
pub(crate) fn has(name: &str) -> bool {
    oid_of("pg_catalog", name).is_some()
}

/// Tables of the catalog have numbers too, below those of all others.
fn oid_of(schema: &str, name: &str) -> Option<u32> {
    let place = SPECS.iter().position(|spec| spec.schema == schema && spec.name == name)?;
    match name {
        // Those that clients know by heart.
        "pg_type" => Some(1247),
        "pg_attribute" => Some(1249),
        "pg_proc" => Some(1255),
        "pg_class" => Some(1259),
        "pg_database" => Some(1262),
        "pg_constraint" => Some(2606),
        "pg_namespace" => Some(2615),
        _ => Some(10_000 + place as u32),
    }
}

pub(crate) fn table(schema: &str, name: &str, relations: &Relations) -> Option<Arc<dyn TableProvider>> {
    let spec = SPECS.iter().find(|spec| spec.schema == schema && spec.name == name)?;
    Some(Arc::new(CatalogTable { spec, schema: cells::schema(spec), relations: relations.clone() }))
}

struct CatalogTable {
    spec: &'static Spec,
    schema: SchemaRef,
    relations: Relations,
}

impl std::fmt::Debug for CatalogTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.spec.name)
    }
}

#[async_trait]
impl TableProvider for CatalogTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scope = state.config().get_extension::<Scope>();
        let mut relations = self.relations.all();
        let database = scope.as_ref().map_or("", |scope| scope.database.as_str());
        relations.retain(|relation| scope.as_ref().is_some_and(|scope| scope.may_read(relation.right())));
        let sight = rows::Sight { relations, database };
        let rows = rows::of(self.spec.schema, self.spec.name, &sight);
        let batch = cells::batch(self.spec, &self.schema, &rows)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema.clone(), projection.cloned())?)
    }
}
