//! From a record to the steps around it, over a log with two jobs in a row.

use crate::coordinates::{Range, ScanSplits};
use crate::journal::{Counts, Journal, LAYER, Record, StepRecord};
use crate::lineage::{Lineage, LoggedStep, Place, Stretch, around};
use base::{Lsn, Offset};
use dataflow::source::{Position, Split};
use eventlog::{Committer, EventLog, LogError, LogOptions, Recovery};
use os::sim::SimOs;
use std::collections::BTreeMap;
use std::sync::Arc;

struct Setup {
    log: EventLog,
    journal: Arc<Journal>,
    _os: SimOs,
}

impl Setup {
    fn new() -> Setup {
        let sim = SimOs::new(7);
        let mut options = LogOptions::new("/data");
        options.committer = Committer::Manual;
        let journal = Journal::restore(None).unwrap();
        let recovery = Recovery::open(&sim.os(), options).unwrap();
        let log = recovery.start(vec![("jobs", journal.clone() as Arc<_>)]).unwrap();
        for topic in ["orders", "rich", "sums"] {
            log.append::<_, LogError>(|frame| frame.create_topic(topic, 1, BTreeMap::new())).unwrap();
        }
        Setup { log, journal, _os: sim }
    }

    /// A frame with so many records of a topic, and what the journal says in it.
    fn frame(&self, batch: Option<(&str, u32)>, records: &[Record]) -> Lsn {
        let appended = self.log.append::<_, LogError>(|frame| {
            if let Some((topic, count)) = batch {
                let partition = self.log.topic(topic).unwrap().partitions[0];
                frame.batch(partition, count, 5, &[7; 90])?;
            }
            for record in records {
                frame.layer(LAYER, &record.encode())?;
                self.journal.apply(record);
            }
            Ok(())
        });
        let lsn = appended.unwrap().1;
        self.log.commit_pending().unwrap();
        lsn
    }

    fn around(&self, topic: &str, offset: i64) -> Lineage {
        let partition = self.log.topic(topic).unwrap().partitions[0];
        around(&self.log, &self.journal, partition, Offset(offset)).unwrap()
    }
}

fn started(job: &str, splits: &[&str]) -> Record {
    let split =
        |id: &&str| Split { id: id.to_string(), start: Position(0), end: None, fingerprint: String::new() };
    Record::Started {
        job: job.into(),
        instance: 1,
        engine_version: 1,
        plan: 1,
        origin: 0,
        scans: vec![ScanSplits { scan: 4, splits: splits.iter().map(split).collect() }],
    }
}

fn step(job: &str, number: u64, ranges: &[(u32, i64, i64)]) -> Record {
    let range = |(split, from, to): &(u32, i64, i64)| Range {
        scan: 4,
        split: *split,
        from: Position(*from),
        to: Position(*to),
        finished: false,
        idle: false,
    };
    let ranges = ranges.iter().map(range).collect();
    let step = StepRecord { number, clock_ms: 9, ranges, output_hash: 0, counts: Counts::default() };
    Record::Step { job: job.into(), step }
}

fn stretch(topic: &str, from: i64, to: i64) -> Stretch {
    Stretch { of: Place::Partition { topic: topic.into(), index: 0 }, from, to }
}

#[test]
fn a_record_leads_to_the_steps_that_took_it_and_wrote_it() {
    let setup = Setup::new();
    setup.frame(None, &[started("enrich", &["cities.csv", "orders/0"]), started("add", &["rich/0"])]);
    let produced = setup.frame(Some(("orders", 3)), &[]);
    // It reads a file too, whose positions are no offsets.
    let first = setup.frame(Some(("rich", 2)), &[step("enrich", 1, &[(0, 0, 50), (1, 0, 2), (1, 2, 2)])]);
    let second = setup.frame(Some(("rich", 1)), &[step("enrich", 2, &[(1, 2, 3)])]);
    let kept = setup.frame(None, &[step("add", 1, &[(0, 0, 2)])]);
    let given = setup.frame(Some(("sums", 1)), &[step("add", 2, &[(0, 2, 3)])]);

    let logged = |job: &str, number, lsn, inputs: &[Stretch], outputs: &[Stretch]| LoggedStep {
        job: job.into(),
        number,
        clock_ms: 9,
        lsn,
        inputs: inputs.to_vec(),
        outputs: outputs.to_vec(),
    };
    let file = Stretch { of: Place::Split("cities.csv".into()), from: 0, to: 50 };
    let enrich_1 = logged("enrich", 1, first, &[file, stretch("orders", 0, 2)], &[stretch("rich", 0, 2)]);
    let enrich_2 = logged("enrich", 2, second, &[stretch("orders", 2, 3)], &[stretch("rich", 2, 3)]);
    let add_1 = logged("add", 1, kept, &[stretch("rich", 0, 2)], &[]);
    let add_2 = logged("add", 2, given, &[stretch("rich", 2, 3)], &[stretch("sums", 0, 1)]);

    let order = setup.around("orders", 1);
    assert_eq!((order.lsn, order.written_by, order.is_whole), (Some(produced), None, true));
    assert_eq!(order.taken_by, std::slice::from_ref(&enrich_1));
    assert_eq!(order.later, std::slice::from_ref(&enrich_2), "of the job that took it, and of no other");

    let rich = setup.around("rich", 0);
    assert_eq!((rich.lsn, rich.written_by), (Some(first), Some(enrich_1.clone())));
    assert_eq!((rich.taken_by, rich.later), (vec![add_1], vec![add_2.clone()]));
    let sum = setup.around("sums", 0);
    assert_eq!((sum.written_by, sum.taken_by), (Some(add_2), Vec::new()));

    // The job begins anew, with its splits in another order: the steps before are not taken for what they were not.
    setup.frame(None, &[started("enrich", &["orders/0", "cities.csv"])]);
    let again = setup.frame(None, &[step("enrich", 1, &[(0, 0, 3)])]);
    let order = setup.around("orders", 1);
    assert_eq!(order.taken_by, [logged("enrich", 1, again, &[stretch("orders", 0, 3)], &[])]);
    assert!(order.later.is_empty());
    let rich = setup.around("rich", 0).written_by;
    assert_eq!(rich, Some(LoggedStep { inputs: Vec::new(), ..enrich_1 }));

    let partition = setup.log.topic("orders").unwrap().partitions[0];
    assert_eq!(around(&setup.log, &setup.journal, partition, Offset(3)), Ok(Lineage::default()));
}
