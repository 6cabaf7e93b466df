//! What lies in the tables of an operator, as far as another operator of its family can go on with it.
//!
//! The values of an aggregate are columns: some that it always has, and those of its calls. An aggregate with fewer calls,
//! or with the same in another order, picks the columns that it wants. Whatever else operators keep stays as it is; only
//! the time to live of a value may become another one.

use super::batches::relaxed;
use super::error::DataflowError;
use super::group::{GroupColumns, GroupSpec, tables};
use super::window::{Accumulators, AggregateSpec};
use crate::plan::{Identities, Keep, NodeId, NodeKind, Plan};
use arrow_schema::{DataType, SchemaRef};
use base::codec::{CodecError, FieldReader, FieldWriter};
use state::{PickedColumns, Rewrite};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLayout {
    /// Counted within the operator. The times to live are those of its first input, but of a join those of the input
    /// with this number.
    pub table: u32,
    /// How its keys are made, and its values where these are no columns.
    pub shape: u64,
    pub ttl_ms: Option<u64>,
    pub columns: Vec<ColumnsLayout>,
}

/// Columns that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnsLayout {
    /// What they are; of a call, its identity.
    pub identity: u64,
    pub types: Vec<DataType>,
}

/// By node of the plan: its tables, those that others may be made of. None of an operator that nothing is made of.
pub fn layouts(plan: &Plan, identities: &Identities) -> Vec<Vec<TableLayout>> {
    let schemas: Vec<SchemaRef> = plan.nodes.iter().map(|node| relaxed(&node.schema)).collect();
    let layout = |index| {
        // A plan that cannot run says so when it is to run.
        let tables = layout(plan, NodeId(index), &schemas, &identities.calls[index]).unwrap_or_default();
        match tables.iter().all(TableLayout::can_be_named) {
            true => tables,
            false => Vec::new(),
        }
    };
    (0..plan.nodes.len()).map(layout).collect()
}

fn layout(
    plan: &Plan,
    id: NodeId,
    schemas: &[SchemaRef],
    calls: &[u64],
) -> Result<Vec<TableLayout>, DataflowError> {
    let node = plan.node(id);
    let whole = |table: u32, side: usize| TableLayout {
        table,
        shape: 0,
        ttl_ms: plan.ttl_ms(id, side),
        columns: Vec::new(),
    };
    Ok(match &node.kind {
        NodeKind::GroupAggregate { .. } => {
            let spec = Arc::new(GroupSpec::new(plan, id, schemas, false)?);
            let shape = state::hash(&spec.calls_with_values(calls));
            let columns = GroupColumns::new(spec.clone()).layout(calls, shape);
            let groups = TableLayout { columns, ..whole(tables::COLUMNS, 0) };
            let shared = GroupSpec::new(plan, id, schemas, plan.ttl_ms(id, 0).is_none())?.shares();
            match (spec.keeps_values(), shared) {
                (false, _) => vec![groups],
                (true, false) => vec![groups, TableLayout { shape, ..whole(tables::VALUES, 0) }],
                // Which of two tables they lie in depends on the version that began the job.
                (true, true) => Vec::new(),
            }
        }
        NodeKind::WindowAggregate { time_column, window, zone, keys, aggregates } => {
            let (input, schema) = (&schemas[node.inputs[0].0], schemas[id.0].clone());
            let window = (*window, *zone);
            let spec = AggregateSpec::new(input, schema, *time_column, window, keys, aggregates)?;
            let each = Accumulators::new(spec.aggregates).each;
            let columns = calls.iter().zip(&each).map(|(identity, accumulator)| ColumnsLayout {
                identity: *identity,
                types: accumulator.saved_types(),
            });
            vec![TableLayout { table: 0, shape: 0, ttl_ms: None, columns: columns.collect() }]
        }
        NodeKind::Join { .. } => vec![whole(0, 0), whole(1, 1)],
        NodeKind::Deduplicate { keep: Keep::Earliest(_), .. } => Vec::new(),
        NodeKind::Deduplicate { .. }
        | NodeKind::Rank { .. }
        | NodeKind::ChangelogNormalize { .. }
        | NodeKind::UpsertMaterialize { .. } => vec![whole(0, 0)],
        _ => Vec::new(),
    })
}

/// What is to be done with the tables of `old`, by table, so that `new` can go on with them; none if it cannot.
pub fn rewrites(old: &[TableLayout], new: &[TableLayout]) -> Option<BTreeMap<u32, Rewrite>> {
    let rewrite = |table: &TableLayout| {
        let from = old.iter().find(|from| from.table == table.table && from.shape == table.shape)?;
        Some((table.table, table.made_of(from)?))
    };
    let rewrites: BTreeMap<u32, Rewrite> = new.iter().map(rewrite).collect::<Option<_>>()?;
    (!rewrites.is_empty()).then_some(rewrites)
}

impl TableLayout {
    fn made_of(&self, old: &TableLayout) -> Option<Rewrite> {
        let columns = match self.columns == old.columns {
            true => None,
            false => {
                let (mut types, mut places) = (Vec::new(), BTreeMap::new());
                for part in &old.columns {
                    places.entry(part.identity).or_insert(types.len());
                    types.extend(part.types.iter().cloned());
                }
                let mut picked = Vec::new();
                for part in &self.columns {
                    let first = *places.get(&part.identity)?;
                    let own = first..first + part.types.len();
                    types.get(own.clone()).filter(|known| *known == part.types)?;
                    picked.extend(own);
                }
                Some(PickedColumns { types, picked })
            }
        };
        Some(Rewrite { columns, old_ttl_ms: old.ttl_ms, ttl_ms: self.ttl_ms })
    }

    /// Whether all of its types are read from their names again.
    fn can_be_named(&self) -> bool {
        let mut types = self.columns.iter().flat_map(|columns| &columns.types);
        types.all(|own| own.to_string().parse::<DataType>().is_ok_and(|read| read == *own))
    }

    pub fn encode(&self, out: &mut FieldWriter) {
        out.u32(self.table).u64(self.shape).u8(u8::from(self.ttl_ms.is_some()));
        out.u64(self.ttl_ms.unwrap_or(0)).u32(self.columns.len() as u32);
        for columns in &self.columns {
            out.u64(columns.identity).u32(columns.types.len() as u32);
            columns.types.iter().for_each(|own| {
                out.text(&own.to_string());
            });
        }
    }

    pub fn decode(reader: &mut FieldReader<'_>) -> Result<TableLayout, CodecError> {
        let (table, shape) = (reader.u32()?, reader.u64()?);
        let (has_ttl, ttl_ms) = (reader.u8()? != 0, reader.u64()?);
        let read_type = |reader: &mut FieldReader<'_>| {
            reader.text()?.parse::<DataType>().map_err(|_| CodecError { what: "a type is not known" })
        };
        let columns = |reader: &mut FieldReader<'_>| {
            let identity = reader.u64()?;
            let types =
                (0..reader.count(4)?).map(|_| read_type(reader)).collect::<Result<_, CodecError>>()?;
            Ok(ColumnsLayout { identity, types })
        };
        let columns =
            (0..reader.count(12)?).map(|_| columns(reader)).collect::<Result<Vec<_>, CodecError>>()?;
        Ok(TableLayout { table, shape, ttl_ms: has_ttl.then_some(ttl_ms), columns })
    }

    /// The bytes that the shortest one takes.
    pub const ENCODED_BYTES: usize = 25;
}
