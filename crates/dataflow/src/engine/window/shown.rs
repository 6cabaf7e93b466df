//! The results of a slice or a session of a windowed aggregate, for those who look.

use super::super::error::DataflowError;
use super::super::probe::ProbedField;
use super::super::rows::RowEncoder;
use super::accumulator::AccumulatorSpec;
use super::accumulators::Accumulators;
use crate::plan::{NodeId, NodeKind, Plan};
use arrow_schema::SchemaRef;
use state::Columns;
use std::sync::Arc;

pub(crate) struct AggregateShown {
    specs: Arc<Vec<AccumulatorSpec>>,
    names: Vec<String>,
    /// Slices are shown as `arrow-row` has their columns, sessions are kept as rows.
    saved: RowEncoder,
}

impl AggregateShown {
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
    ) -> Result<AggregateShown, DataflowError> {
        let node = plan.node(id);
        let (NodeKind::WindowAggregate { keys, aggregates, .. }
        | NodeKind::SessionAggregate { keys, aggregates, .. }) = &node.kind
        else {
            return Err(DataflowError::internal("the node is no windowed aggregate"));
        };
        let input = &schemas[node.inputs[0].0];
        let specs = aggregates.iter().map(|call| {
            AccumulatorSpec::new(call, call.argument.map(|column| input.field(column).data_type()))
        });
        let specs = Arc::new(specs.collect::<Result<Vec<_>, _>>()?);
        let names = (keys.len()..keys.len() + aggregates.len())
            .map(|column| schemas[id.0].field(column).name().clone());
        let saved = RowEncoder::new(Accumulators::new(specs.clone()).types())?;
        Ok(AggregateShown { names: names.collect(), specs, saved })
    }

    pub(crate) fn results(&self, bytes: &[u8]) -> Result<Vec<ProbedField>, DataflowError> {
        let mut columns = Accumulators::new(self.specs.clone());
        columns.grow(1);
        if !self.specs.is_empty() {
            let saved = self.saved.decode(std::iter::once(bytes))?;
            columns.restore(&[0], &saved)?;
        }
        let results = self.names.iter().zip(&columns.each);
        results
            .map(|(name, call)| Ok(ProbedField { name: name.clone(), value: call.finish(&[0])? }))
            .collect()
    }
}
