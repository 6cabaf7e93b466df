//! Writes rows as lines of a command's input, by one run for each commit or by one for all.

use super::child::{Child, exit};
use super::options::Settings;
use crate::messages::{Done, MessageEncoder, RefusedMessages, ServerError};
use crate::positions::{Position, Positions};
use crate::record_batches::each_outbox_record;
use crate::text_stream::{NO_RECORD, is_record};
use dataflow::batch::Batch;
use dataflow::sink::{OutboxSink, SinkError, TopicBatch, TraceHeaders};
use dataflow::source::Rejected;
use dataflow::table::TableDefinition;
use formats::RecordSplitter;
use os::Os;
use std::sync::Arc;

/// What is given to the command at once.
const CHUNK_BYTES: usize = 64 << 10;

pub(super) struct CommandSink {
    table: Arc<TableDefinition>,
    os: Os,
    settings: Settings,
    rows: MessageEncoder,
    positions: Positions,
    /// Where the format's readers find the end of a row.
    splitter: RecordSplitter,
    /// Rows that are no record, on their way to the dead-letter topic.
    refused: RefusedMessages,
    child: Option<Child>,
    /// Lines that are not given yet.
    lines: Vec<u8>,
    /// The next offset of the outbox, and the one that is known to be behind what was written.
    next: i64,
    stored: i64,
}

impl CommandSink {
    pub(super) fn new(
        table: Arc<TableDefinition>,
        os: Os,
        settings: Settings,
        rows: MessageEncoder,
        positions: Positions,
        (splitter, refused): (RecordSplitter, RefusedMessages),
    ) -> CommandSink {
        CommandSink {
            table,
            os,
            settings,
            rows,
            positions,
            splitter,
            refused,
            child: None,
            lines: Vec::new(),
            next: 0,
            stored: 0,
        }
    }

    /// The command is of no more use.
    fn lost(&mut self, error: ServerError) -> SinkError {
        self.child = None;
        self.lines.clear();
        let message = format!("table '{}': exec: {}", self.table.name, error.message);
        SinkError { kind: error.kind, message }
    }

    fn give(&mut self) -> Done<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        if self.child.is_none() {
            self.child = Some(Child::start(&self.os, &self.settings, None)?);
        }
        let lines = std::mem::take(&mut self.lines);
        match &mut self.child {
            Some(child) => child.give(lines),
            None => Ok(()),
        }
    }

    /// What was given counts as written when this returns.
    fn settle(&mut self, finish: bool) -> Done<()> {
        self.give()?;
        let Some(child) = &mut self.child else { return Ok(()) };
        if !finish && !self.settings.confirms_by_exit {
            child.flush()?;
            return match child.has_ended(std::time::Duration::ZERO) {
                true => Err(child.ended()),
                false => Ok(()),
            };
        }
        let status = child.finish()?;
        if !status.success() {
            return Err(child.told(format!("the command has ended with {}", exit(status))));
        }
        self.child = None;
        Ok(())
    }
}

impl OutboxSink for CommandSink {
    fn carry(&mut self, carried: TraceHeaders) {
        self.rows.carry(carried);
    }

    fn encode(&mut self, rows: &Batch, clock_ms: i64) -> Result<Vec<TopicBatch>, SinkError> {
        self.rows.encode(rows, clock_ms)
    }

    fn open(&mut self) -> Result<i64, SinkError> {
        self.child = None;
        self.lines.clear();
        self.refused.clear();
        self.stored = self.positions.get()?.offset;
        self.next = self.stored;
        Ok(self.stored)
    }

    fn apply(&mut self, batch: &[u8]) -> Result<(), SinkError> {
        let table = self.table.clone();
        let from = self.next;
        let end = each_outbox_record(&table.name, batch, from, |record| {
            let value = record.value.unwrap_or_default();
            if !is_record(&self.splitter, value) {
                let which = format!("outbox-offset={}", record.offset);
                let kept = self.refused.keep(which, value.to_vec(), record.timestamp, NO_RECORD.into());
                return kept.map_err(|error| self.lost(error));
            }
            self.lines.extend_from_slice(value);
            self.lines.push(b'\n');
            if self.lines.len() >= CHUNK_BYTES {
                self.give().map_err(|error| self.lost(error))?;
            }
            Ok(())
        })?;
        self.next = end;
        Ok(())
    }

    fn commit(&mut self, finish: bool, _clock_ms: i64) -> Result<i64, SinkError> {
        self.settle(finish).map_err(|error| self.lost(error))?;
        // What was refused is in no topic yet, and may not be left behind.
        if self.next > self.stored && self.refused.is_empty() {
            self.positions.set(Position { offset: self.next, mark: 0 })?;
            self.stored = self.next;
        }
        Ok(self.stored)
    }

    fn take_rejected(&mut self) -> Vec<Rejected> {
        self.refused.take()
    }
}
