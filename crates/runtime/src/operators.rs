//! The operators of a job as its journal knows them: by what they are told apart when the statement changes, and under
//! which tags lies what belongs to them.

use base::codec::{CodecError, FieldReader, FieldWriter};
use dataflow::engine::{TableLayout, layouts};
use dataflow::plan::{Identities, NodeId, NodeKind, Plan, Table, tree};
use std::collections::BTreeSet;

/// Longer lines are cut: they are there to be read.
const TEXT_CHARS_MAX: usize = 240;

/// What a node is to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Scan,
    Sink,
    /// It keeps rows, or what it has made of them.
    State,
    /// It knows what time it is.
    Time,
    Stateless,
}

impl Role {
    fn of(plan: &Plan, id: NodeId) -> Role {
        match &plan.node(id).kind {
            NodeKind::Sink { .. } => Role::Sink,
            kind if kind.is_scan() => Role::Scan,
            NodeKind::Watermark { .. } | NodeKind::ProcessingTime => Role::Time,
            _ if plan.kept(id).is_some() => Role::State,
            _ => Role::Stateless,
        }
    }

    fn code(self) -> u8 {
        match self {
            Role::Scan => 0,
            Role::Sink => 1,
            Role::State => 2,
            Role::Time => 3,
            Role::Stateless => 4,
        }
    }

    fn from_code(code: u8) -> Result<Role, CodecError> {
        [Role::Scan, Role::Sink, Role::State, Role::Time, Role::Stateless]
            .into_iter()
            .find(|role| role.code() == code)
            .ok_or(CodecError { what: "an operator of an unknown role" })
    }
}

/// A node of the plan that a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRecord {
    /// Given once; see [`Plan::tag`].
    pub tag: u32,
    /// See [`Identities`].
    pub identity: u64,
    /// See [`Identities::families`]; 0 where an older version wrote it, whose identities were others.
    pub family: u64,
    /// What lies in its tables, if another operator can be made of it.
    pub layout: Vec<TableLayout>,
    pub role: Role,
    /// The columns of a scan, as one number.
    pub columns: u64,
    /// See [`Identities::uses`].
    pub uses: u64,
    /// See [`Identities::readers`].
    pub readers: u64,
    /// What is known of the table of a node that has one.
    pub of_table: Table,
    /// The tags of the scans whose rows reach it.
    pub scans: Vec<u32>,
    /// The tags of the sinks that its rows reach.
    pub sinks: Vec<u32>,
    /// The name of the table of a scan or a sink.
    pub table: String,
    /// As EXPLAIN has it.
    pub text: String,
}

impl OperatorRecord {
    /// What kind of a node it is: `GroupAggregate`.
    pub fn kind(&self) -> &str {
        self.text.split('(').next().unwrap_or_default()
    }

    /// Whether its identity can be compared with those of today.
    pub fn is_comparable(&self) -> bool {
        self.family != 0
    }

    fn encode(&self, has_layout: bool, out: &mut FieldWriter) {
        if has_layout {
            out.u64(self.family).u32(self.layout.len() as u32);
            self.layout.iter().for_each(|table| table.encode(out));
        }
        out.u32(self.tag).u64(self.identity).u8(self.role.code()).u64(self.columns);
        out.u64(self.uses).u64(self.readers);
        out.u64(self.of_table.address).u64(self.of_table.layout).u64(self.of_table.startup);
        for tags in [&self.scans, &self.sinks] {
            out.u32(tags.len() as u32);
            tags.iter().for_each(|tag| {
                out.u32(*tag);
            });
        }
        out.text(&self.table).text(&self.text);
    }

    fn decode(reader: &mut FieldReader<'_>, has_layout: bool) -> Result<OperatorRecord, CodecError> {
        let (family, layout) = match has_layout {
            true => {
                let family = reader.u64()?;
                let tables = reader.count(TableLayout::ENCODED_BYTES)?;
                (family, (0..tables).map(|_| TableLayout::decode(reader)).collect::<Result<_, CodecError>>()?)
            }
            false => (0, Vec::new()),
        };
        let (tag, identity) = (reader.u32()?, reader.u64()?);
        let role = Role::from_code(reader.u8()?)?;
        let columns = reader.u64()?;
        let (uses, readers) = (reader.u64()?, reader.u64()?);
        let of_table = Table { address: reader.u64()?, layout: reader.u64()?, startup: reader.u64()? };
        let mut tags =
            || (0..reader.count(4)?).map(|_| reader.u32()).collect::<Result<Vec<u32>, CodecError>>();
        let (scans, sinks) = (tags()?, tags()?);
        Ok(OperatorRecord {
            tag,
            identity,
            family,
            layout,
            role,
            columns,
            uses,
            readers,
            of_table,
            scans,
            sinks,
            table: reader.text()?,
            text: reader.text()?,
        })
    }

    /// The bytes that the shortest one takes.
    const ENCODED_BYTES: usize = 77;
}

/// Stands before records that have families and layouts; older ones begin with how many they are.
const WITH_LAYOUTS: u32 = u32::MAX;

pub(crate) fn encode_all(operators: &[OperatorRecord], out: &mut FieldWriter) {
    // What an older version wrote keeps its bytes: the ids of savepoints are made of them.
    let has_layouts = !operators.is_empty() && operators.iter().all(OperatorRecord::is_comparable);
    if has_layouts {
        out.u32(WITH_LAYOUTS);
    }
    out.u32(operators.len() as u32);
    operators.iter().for_each(|operator| operator.encode(has_layouts, out));
}

pub(crate) fn decode_all(reader: &mut FieldReader<'_>) -> Result<Vec<OperatorRecord>, CodecError> {
    let mut ahead = reader.clone();
    let has_layouts = ahead.u32()? == WITH_LAYOUTS;
    if has_layouts {
        *reader = ahead;
    }
    let count = reader.count(OperatorRecord::ENCODED_BYTES)?;
    (0..count).map(|_| OperatorRecord::decode(reader, has_layouts)).collect()
}

/// The operators of a plan under its tags, in its order.
pub(crate) fn of_plan(plan: &Plan) -> Vec<OperatorRecord> {
    let identities = Identities::of(plan);
    let mut layouts = layouts(plan, &identities);
    let mut sinks: Vec<BTreeSet<u32>> = vec![BTreeSet::new(); plan.nodes.len()];
    for sink in plan.sinks() {
        let reached = plan.with_inputs(&[sink]);
        let below = sinks.iter_mut().zip(reached).filter(|(_, is_reached)| *is_reached);
        below.for_each(|(sinks, _)| {
            sinks.insert(plan.tag(sink));
        });
    }
    let mut operator = |(index, node): (usize, &dataflow::plan::Node)| {
        let id = NodeId(index);
        let (table, columns) = match &node.kind {
            NodeKind::Scan { table, projection, metadata, .. } => {
                let names = projection.iter().filter_map(|column| table.schema.fields().get(*column));
                let names: Vec<&str> = names.map(|field| field.name().as_str()).collect();
                let columns = format!("{} {metadata:?} {}", names.join(","), table.name);
                (table.name.clone(), state::hash(columns.as_bytes()))
            }
            NodeKind::Sink { table } => (table.name.clone(), 0),
            _ => (String::new(), 0),
        };
        OperatorRecord {
            tag: plan.tag(id),
            identity: identities.nodes[index],
            family: identities.families[index],
            layout: std::mem::take(&mut layouts[index]),
            role: Role::of(plan, id),
            columns,
            uses: identities.uses[index],
            readers: identities.readers[index],
            of_table: identities.tables[index],
            scans: plan.scans_of(id).into_iter().map(|scan| plan.tag(scan)).collect(),
            sinks: sinks[index].iter().copied().collect(),
            table,
            text: tree::line(plan, node).chars().take(TEXT_CHARS_MAX).collect(),
        }
    };
    plan.nodes.iter().enumerate().map(&mut operator).collect()
}
