//! What a group aggregate is, and everything about a batch that needs no state.

use super::super::changelog::is_add_code;
use super::super::error::DataflowError;
use super::super::join::only_inserts;
use super::super::keys::{KeyEncoder, Keys, one_nan};
use super::super::window::{AccumulatorSpec, Argument, Gather, Representation, passing};
use crate::batch::Batch;
use crate::plan::{Aggregate, AggregateFunction, Changelog, NodeId, NodeKind, Plan};
use arrow_array::cast::AsArray;
use arrow_buffer::{BooleanBuffer, ScalarBuffer};
use arrow_schema::{DataType, SchemaRef};

/// So many sets of values, and as many lists.
const SETS_MAX: usize = 1 << 14;

/// What stays the same over the life of the operator.
#[derive(Debug)]
pub(crate) struct GroupSpec {
    pub(crate) keys: KeyEncoder,
    pub(crate) calls: Vec<Call>,
    /// The values that are kept; at most 2^14 sets of them.
    pub(crate) sets: Vec<ValueSet>,
    /// As many at most.
    pub(crate) lists: Vec<ListSpec>,
    /// Rows of the input may go again.
    pub(crate) retracts: bool,
    /// What may leave the node.
    pub(crate) changelog: Changelog,
    /// State is forgotten; see the module.
    pub(crate) forgets: bool,
    pub(crate) schema: SchemaRef,
}

/// One aggregate call.
#[derive(Debug)]
pub(crate) enum Call {
    /// Takes each row.
    Rows(AccumulatorSpec),
    /// Takes each value of a part of a set once.
    Distinct { set: SetPart, spec: AccumulatorSpec },
    /// Is the first value of a set.
    Extreme { set: usize },
    /// Is made of values that are kept.
    Kept(Kept),
}

/// A call that is made of kept values.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) gather: Gather,
    pub(crate) values: KeptIn,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum KeptIn {
    /// In a value set; `once`: how often a value occurs does not matter.
    Set {
        set: SetPart,
        once: bool,
    },
    List {
        list: usize,
    },
}

/// Values of one column in the order of their arrival.
#[derive(Debug)]
pub(crate) struct ListSpec {
    pub(crate) number: u16,
    pub(crate) argument: usize,
    filter: Option<usize>,
    /// Takes each value of this part of a set once.
    pub(crate) distinct: Option<SetPart>,
    /// The last value comes first.
    pub(crate) backward: bool,
    keeps_nulls: bool,
    pub(crate) encoder: KeyEncoder,
}

/// The values of a set that pass one of its filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetPart {
    pub(crate) set: usize,
    pub(crate) part: usize,
}

/// Values of one column, each with the numbers of its occurrences per key: one for each part, which is what passes a
/// filter. Most values pass several of the filters that calls have, so they are kept once for all of them.
#[derive(Debug)]
pub(crate) struct ValueSet {
    pub(crate) argument: usize,
    /// By part; there is one at least, and only sets without `keeps_first` have more.
    pub(crate) filters: Vec<Option<usize>>,
    pub(crate) encoder: KeyEncoder,
    /// The greatest value comes first: the bytes are complemented.
    pub(crate) descending: bool,
    /// A MIN or MAX reads it.
    pub(crate) keeps_first: bool,
    /// A call needs the numbers of occurrences, also where nothing ever goes.
    pub(crate) counts: bool,
    keeps_nulls: bool,
}

impl GroupSpec {
    /// Whether some values are kept once for several filters.
    pub(crate) fn shares(&self) -> bool {
        self.sets.iter().any(|set| set.filters.len() > 1)
    }

    /// Whether values lie beside the columns.
    pub(crate) fn keeps_values(&self) -> bool {
        !self.sets.is_empty() || !self.lists.is_empty()
    }

    /// The identities of the calls that read such values, one after the other: they say which there are.
    pub(crate) fn calls_with_values(&self, calls: &[u64]) -> Vec<u8> {
        let with_values = self.calls.iter().zip(calls).filter(|(call, _)| !matches!(call, Call::Rows(_)));
        with_values.flat_map(|(_, identity)| identity.to_le_bytes()).collect()
    }

    /// With `shares` DISTINCT keeps the values of one column once for all filters.
    pub(crate) fn new(
        plan: &Plan,
        id: NodeId,
        schemas: &[SchemaRef],
        shares: bool,
    ) -> Result<GroupSpec, DataflowError> {
        let node = plan.node(id);
        let NodeKind::GroupAggregate { keys, aggregates } = &node.kind else {
            return Err(DataflowError::internal("the node is no group aggregate"));
        };
        let input = &schemas[node.inputs[0].0];
        let type_of = |column: usize| input.field(column).data_type();
        let retracts = match plan.node(node.inputs[0]).changelog {
            Changelog::Insert => false,
            Changelog::Retract => true,
            Changelog::Upsert => {
                return Err(DataflowError::internal("an upsert changelog must be normalized before it"));
            }
        };
        let mut sets = Vec::new();
        let mut lists = Vec::new();
        // MIN and MAX say in which order values are kept; DISTINCT takes them as they are.
        for call in aggregates.iter().filter(|call| keeps_extreme(call, retracts)) {
            find_set(&mut sets, call, Order::extreme(call), &type_of)?;
        }
        let distinct = Order::Any { shares };
        let mut calls = Vec::with_capacity(aggregates.len());
        for call in aggregates {
            let spec = AccumulatorSpec::new(call, call.argument.map(type_of))?;
            let by_place =
                matches!(call.function, AggregateFunction::FirstValue | AggregateFunction::LastValue);
            if let Some(argument) = call.argument
                && ((by_place && retracts) || Gather::makes(call.function))
            {
                let gather = Gather::new(call, type_of(argument))?;
                let values = if Gather::by_value(call.function) {
                    let set = find_set(&mut sets, call, Order::Ascending, &type_of)?;
                    sets[set.set].counts |= !spec.distinct;
                    KeptIn::Set { set, once: spec.distinct }
                } else {
                    let distinct = match spec.distinct {
                        true => Some(find_set(&mut sets, call, distinct, &type_of)?),
                        false => None,
                    };
                    KeptIn::List { list: find_list(&mut lists, call, distinct, type_of(argument))? }
                };
                calls.push(Call::Kept(Kept { gather, values }));
                continue;
            }
            calls.push(if keeps_extreme(call, retracts) {
                Call::Extreme { set: find_set(&mut sets, call, Order::extreme(call), &type_of)?.set }
            } else if spec.distinct {
                Call::Distinct { set: find_set(&mut sets, call, distinct, &type_of)?, spec }
            } else {
                Call::Rows(spec)
            });
        }
        if sets.len().max(lists.len()) > SETS_MAX {
            return Err(DataflowError::invalid("too many different aggregate calls"));
        }
        Ok(GroupSpec {
            keys: KeyEncoder::new(keys.clone(), keys.iter().map(|key| type_of(*key).clone()).collect())?,
            calls,
            sets,
            lists,
            retracts,
            changelog: node.changelog,
            forgets: plan.ttl_ms(id, 0).is_some(),
            schema: schemas[id.0].clone(),
        })
    }

    pub(crate) fn prepare(&self, batch: &Batch) -> Result<Prepared, DataflowError> {
        let adds = match (&batch.kinds, self.retracts) {
            (_, false) => {
                only_inserts(batch)?;
                None
            }
            (None, true) => None,
            (Some(kinds), true) => {
                let adds: Vec<bool> = kinds.values().iter().map(|kind| is_add_code(*kind)).collect();
                adds.contains(&false).then_some(adds)
            }
        };
        let filter = |column: usize| batch.rows.column(column).as_boolean();
        let argument = |call: &Call| {
            let (spec, filtered, encoder) = match call {
                Call::Rows(spec) => (spec, spec.filter.map(filter), spec.encoder.as_deref()),
                // The set looks at the filter.
                Call::Distinct { spec, .. } => (spec, None, None),
                Call::Extreme { .. } | Call::Kept(_) => return Ok(None),
            };
            let column = spec.argument.map(|column| batch.rows.column(column));
            Argument::new(column, filtered, spec.representation, encoder).map(Some)
        };
        let values = |set: &ValueSet| {
            let column = one_nan(batch.rows.column(set.argument));
            let filter = set.only_filter().map(filter);
            Argument::new(Some(&column), filter, encoded(set.keeps_nulls), Some(&set.encoder))
        };
        let passing = |set: &ValueSet| match set.filters.as_slice() {
            [_] => Vec::new(),
            filters => filters.iter().map(|column| column.map(|column| passing(filter(column)))).collect(),
        };
        let listed = |list: &ListSpec| {
            let column = batch.rows.column(list.argument);
            // Of distinct values the set looks at the filter.
            let filter = list.filter.filter(|_| list.distinct.is_none()).map(filter);
            Argument::new(Some(column), filter, encoded(list.keeps_nulls), Some(&list.encoder))
        };
        Ok(Prepared {
            keys: self.keys.encode(&batch.rows)?,
            adds,
            arguments: self.calls.iter().map(argument).collect::<Result<_, DataflowError>>()?,
            values: self.sets.iter().map(values).collect::<Result<_, _>>()?,
            passing: self.sets.iter().map(passing).collect(),
            listed: self.lists.iter().map(listed).collect::<Result<_, _>>()?,
            ordinals: batch.ordinals.values().clone(),
        })
    }
}

/// Whether the call is a MIN or MAX whose rows may go again.
fn keeps_extreme(call: &Aggregate, retracts: bool) -> bool {
    retracts && matches!(call.function, AggregateFunction::Min | AggregateFunction::Max)
}

/// In which order a call wants the values of its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Ascending,
    /// The first value is wanted, or the last.
    First {
        descending: bool,
    },
    /// It wants none; `shares`: and has only a part of the set, if there is one already.
    Any {
        shares: bool,
    },
}

impl Order {
    fn extreme(call: &Aggregate) -> Order {
        Order::First { descending: call.function == AggregateFunction::Max }
    }
}

/// The set of a call's values in an order, made if there is none.
fn find_set<'a>(
    sets: &mut Vec<ValueSet>,
    call: &Aggregate,
    order: Order,
    type_of: &impl Fn(usize) -> &'a DataType,
) -> Result<SetPart, DataflowError> {
    let argument = call.argument.ok_or_else(|| DataflowError::internal("no values to keep"))?;
    let keeps_nulls = call.function == AggregateFunction::ArrayAgg;
    let descending = order == Order::First { descending: true };
    let keeps_first = matches!(order, Order::First { .. });
    let same_values = |set: &ValueSet| set.argument == argument && set.keeps_nulls == keeps_nulls;
    for (number, set) in sets.iter_mut().enumerate().filter(|(_, set)| same_values(set)) {
        let fits = matches!(order, Order::Any { .. }) || descending == set.descending;
        // The first value is that of a whole set.
        let part = set.filters.iter().position(|filter| *filter == call.filter);
        if let Some(part) = part.filter(|_| fits && (!keeps_first || set.filters.len() == 1)) {
            set.keeps_first |= keeps_first;
            return Ok(SetPart { set: number, part });
        }
    }
    if order == (Order::Any { shares: true })
        && let Some((number, set)) =
            sets.iter_mut().enumerate().find(|(_, set)| same_values(set) && !set.keeps_first)
    {
        set.filters.push(call.filter);
        return Ok(SetPart { set: number, part: set.filters.len() - 1 });
    }
    sets.push(ValueSet {
        argument,
        filters: vec![call.filter],
        encoder: KeyEncoder::new(vec![0], vec![type_of(argument).clone()])?,
        descending,
        keeps_first,
        counts: false,
        keeps_nulls,
    });
    Ok(SetPart { set: sets.len() - 1, part: 0 })
}

impl ValueSet {
    /// The filter of a set with one part.
    fn only_filter(&self) -> Option<usize> {
        match self.filters.as_slice() {
            [filter] => *filter,
            _ => None,
        }
    }
}

/// The list of a call's values, made if there is none.
fn find_list(
    lists: &mut Vec<ListSpec>,
    call: &Aggregate,
    distinct: Option<SetPart>,
    data_type: &DataType,
) -> Result<usize, DataflowError> {
    let argument = call.argument.ok_or_else(|| DataflowError::internal("no values to keep"))?;
    let backward = call.function == AggregateFunction::LastValue;
    let keeps_nulls = call.function == AggregateFunction::ArrayAgg;
    let fits = |list: &ListSpec| {
        (list.argument, list.filter, list.distinct) == (argument, call.filter, distinct)
            && (list.backward, list.keeps_nulls) == (backward, keeps_nulls)
    };
    if let Some(found) = lists.iter().position(fits) {
        return Ok(found);
    }
    lists.push(ListSpec {
        number: lists.len() as u16,
        argument,
        filter: call.filter,
        distinct,
        backward,
        keeps_nulls,
        encoder: KeyEncoder::new(vec![0], vec![data_type.clone()])?,
    });
    Ok(lists.len() - 1)
}

fn encoded(keeps_nulls: bool) -> Representation {
    if keeps_nulls { Representation::EncodedWithNulls } else { Representation::Encoded }
}

/// A batch made ready for all workers.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) keys: Keys,
    /// By row, whether it comes or goes; `None` when all come.
    pub(crate) adds: Option<Vec<bool>>,
    /// By call; [`Call::Extreme`] and [`Call::Kept`] need none.
    pub(crate) arguments: Vec<Option<Argument>>,
    /// By set: encoded values; the filter of a set with one part is theirs.
    pub(crate) values: Vec<Argument>,
    /// By set with several parts, and by part: the rows that pass its filter.
    pub(crate) passing: Vec<Vec<Option<BooleanBuffer>>>,
    /// By list.
    pub(crate) listed: Vec<Argument>,
    pub(crate) ordinals: ScalarBuffer<u64>,
}
