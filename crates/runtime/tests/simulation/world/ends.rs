//! The end of a world: everything comes to its end, and is what its records give.

use super::{DATA, TURNS_MAX, World};
use crate::connector::encode_partitions;
use crate::recomputed::{self, Outputs};
use crate::rows::Row;
use os::Disk;
use std::path::Path;
use std::sync::atomic::Ordering;

impl World {
    /// Compares what a job wrote here with what its records give; with `is_complete`, also the targets.
    pub(super) fn compare(&self, index: usize, is_complete: bool) -> Outputs {
        let job = &self.jobs[index];
        let name = &job.plan.name;
        let outputs = recomputed::stepped(&job.plan, &self.inputs, &job.steps, name);
        for sink in &job.plan.sinks {
            let written = outputs[&sink.node][job.steps_before..].iter();
            let mut partitions = vec![Vec::new(); sink.partitions as usize];
            for step in written {
                for (all, rows) in partitions.iter_mut().zip(encode_partitions(sink, step)) {
                    all.extend(rows);
                }
            }
            let topic =
                if sink.is_outbox { format!("__outbox.{name}.{}", sink.node.0) } else { sink.name.clone() };
            for (partition, rows) in partitions.iter().enumerate() {
                let seen = self.readers.rows(&topic, partition, sink.width);
                assert_eq!(&seen, rows, "{topic}/{partition}: every row once, in order");
            }
            if sink.is_outbox {
                let outside = self.outside.lock().expect("nobody panics with it");
                let of_sink = outside.targets.iter().filter(|((table, _), _)| *table == sink.name);
                let applied: Vec<&Vec<Row>> =
                    of_sink.map(|(_, target)| &target.rows).filter(|rows| !rows.is_empty()).collect();
                assert!(applied.len() <= 1, "{}: one instance has rows", sink.name);
                let applied = applied.first().map_or(&[][..], |rows| rows.as_slice());
                assert!(
                    partitions[0].starts_with(applied),
                    "{}: the target is ahead or has other rows",
                    sink.name
                );
                assert!(
                    !is_complete || applied.len() == partitions[0].len(),
                    "{}: the target lacks rows",
                    sink.name
                );
            }
        }
        outputs
    }

    /// The faults are over: everything comes to its end, and the end is compared.
    pub(super) fn finish(&mut self) {
        self.tell(&"the faults are over");
        self.limits.lift();
        self.crash(true);
        assert!(!self.is_excused, "the faults are over");
        while !self.inputs.all_ended() {
            self.send();
        }
        let mut turns = 0;
        while self.jobs.iter().any(|job| !job.is_finished) {
            self.turn();
            self.commit();
            turns += 1;
            assert!(turns < TURNS_MAX, "the jobs come to no end");
        }
        self.poll();
        self.check_folders();
        if self.random.one_in(2) {
            let cut = self.random.one_in(2);
            self.crash(cut);
        }
        let node = self.node.as_ref().expect("it is open");
        self.readers.compare(&node.log);
        for index in 0..self.jobs.len() {
            let outputs = self.compare(index, true);
            self.compare_undisturbed(index, &outputs);
        }
        self.story.records =
            self.inputs.partitions.values().flatten().map(|sent| sent.rows.len() as u64).sum();
        self.story.full_disks = self.limits.waits.load(Ordering::SeqCst);
        self.note(self.sim.disk.operations());
    }

    fn compare_undisturbed(&self, index: usize, outputs: &Outputs) {
        let plan = &self.jobs[index].plan;
        let name = &plan.name;
        // What is forgotten after a while depends on when the steps were made.
        if plan.plan.state_ttl_ms.is_some() {
            return;
        }
        let undisturbed = recomputed::undisturbed(plan, &self.inputs, 60);
        for sink in plan.sinks.iter().filter(|sink| !sink.by_arrival) {
            let expected = recomputed::fold(sink, &undisturbed, &format!("{name}, undisturbed"));
            assert_eq!(recomputed::fold(sink, outputs, name), expected, "{}", sink.name);
        }
        for sink in &plan.sinks {
            recomputed::fold(sink, outputs, name);
        }
    }

    /// A job that has ended leaves no state behind.
    fn check_folders(&self) {
        let state = Path::new(DATA).join("state");
        for folder in self.sim.disk.list(&state).expect("the folder of states is there") {
            let left = self.sim.disk.list(&state.join(&folder)).expect("the folder is there");
            assert!(left.is_empty(), "{folder} is left with {left:?}");
        }
    }
}
