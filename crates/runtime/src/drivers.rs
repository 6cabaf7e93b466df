//! The drivers of a job's outboxes, one per outside sink, those of its feeds, and those who ask for its lookup joins.

use crate::background::Background;
use crate::error::RuntimeError;
use crate::feeds::Feeds;
use crate::job::Wakeup;
use crate::lookups::Lookups;
use crate::outbox::{self, Driver, OutboxSignals};
use crate::outputs::{connector_of, sink_identity};
use crate::steps::{Context, identity};
use dataflow::plan::{NodeId, NodeKind};
use dataflow::sink::Sink;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A driver for each outside sink of a job that has begun.
pub(crate) fn drivers(context: &Context, signals: &Arc<OutboxSignals>) -> Result<Vec<Driver>, RuntimeError> {
    let job = &context.request.name;
    let instance = context.journal.job(job).map_or(0, |state| state.instance);
    let mut drivers = Vec::new();
    for (index, node) in context.request.plan.nodes.iter().enumerate() {
        let NodeKind::Sink { table } = &node.kind else { continue };
        let tag = context.request.plan.tag(NodeId(index));
        let identity = sink_identity(&identity(job, instance), tag);
        let connector = connector_of(&context.request.connectors, table)?;
        let Sink::Outbox(sink) = connector.sink(table, &identity)? else { continue };
        let topic = outbox::topic(job, tag);
        let partition = context.log.topic(&topic).and_then(|topic| topic.partitions.first().copied());
        let Some(partition) = partition else {
            let reason = format!("its outbox {topic} is gone");
            return Err(RuntimeError::Internal { job: job.clone(), reason });
        };
        drivers.push(Driver::new(context, signals, NodeId(index), partition, sink, table)?);
    }
    Ok(drivers)
}

/// The threads that empty the job's outboxes and answer its questions.
pub(crate) struct Drivers {
    signals: Arc<OutboxSignals>,
    lookups: Arc<Lookups>,
    feeds: Arc<Feeds>,
    background: Background,
}

impl Drivers {
    pub(crate) fn start(
        context: &Context,
        signals: &Arc<OutboxSignals>,
        lookups: &Arc<Lookups>,
        feeds: &Arc<Feeds>,
    ) -> Result<Drivers, RuntimeError> {
        let background = Background::new(&context.request.name, &context.stop, &context.wakeup);
        let (signals, lookups, feeds) = (signals.clone(), lookups.clone(), feeds.clone());
        let mut drivers = Drivers { signals, lookups, feeds, background };
        match drivers.start_each(context) {
            Ok(()) => Ok(drivers),
            Err(error) => {
                // Those that run already must not outlive the attempt; the error at hand came first.
                let _ = drivers.finish(false, &context.wakeup);
                Err(error)
            }
        }
    }

    fn start_each(&mut self, context: &Context) -> Result<(), RuntimeError> {
        for driver in drivers(context, &self.signals)? {
            self.background.spawn("outbox", move || driver.run())?;
        }
        for driver in self.lookups.drivers(context)? {
            self.background.spawn("lookup", move || driver.run())?;
        }
        for driver in self.feeds.drivers(context)? {
            self.background.spawn("feed", move || driver.run())?;
        }
        Ok(())
    }

    /// `ended`: empty the outboxes and close the targets; otherwise leave off where they are.
    pub(crate) fn finish(self, ended: bool, wakeup: &Wakeup) -> Result<(), RuntimeError> {
        let signal = if ended { &self.signals.ended } else { &self.signals.stopped };
        signal.store(true, Ordering::Release);
        self.lookups.stop();
        self.feeds.stop();
        wakeup.notify();
        self.background.join()
    }
}
