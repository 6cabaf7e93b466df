//! The codes with which transactional requests are refused, API by API and version by version: no client library
//! shows them all. `cargo xtask clients transaction-codes` runs it, and `--kafka` shows that Kafka says the same.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use kafka_client::{Client, ClientOptions, Connection};
use kafka_wire::ErrorCode as E;
use kafka_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_wire::messages::*;
use kafka_wire::records::{BatchBuilder, Compression};

use crate::counts::Counts;

struct Codes {
    connection: Connection,
    topic: String,
    counts: Counts,
}

/// Who asks: a transactional id, and what its producer believes to be.
#[derive(Clone)]
struct Producer {
    id: String,
    producer_id: i64,
    epoch: i16,
}

/// Asks for everything that is refused, and counts what is refused as it should be.
pub fn run(bootstrap: &str) -> Result<Counts> {
    let unique = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let topic = format!("codes-{unique}");
    Client::connect(bootstrap, "codes")?.create_topic(&topic, 2, 1, &[])?;
    let connection = Connection::open(bootstrap, &ClientOptions::new("codes"))?;
    let mut codes = Codes { connection, topic, counts: Counts::default() };
    let id = format!("codes-{unique}");

    // Kafka's coordinator may still be loading when the first one comes.
    let first = loop {
        let (code, producer) = codes.init(&id, None, 4)?;
        if code != E::CoordinatorLoadInProgress
            && code != E::NotCoordinator
            && code != E::CoordinatorNotAvailable
        {
            break producer;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    codes.nothing_begun(&first)?;
    codes.unknown(&first)?;
    let (code, second) = codes.init(&id, None, 4)?;
    codes.equal("a second producer takes the id", code, E::None);
    codes.fenced(&first)?;
    codes.ends(&second)?;
    codes.ends_that_move_the_epoch(&second)?;
    codes.sequences_of_the_unknown(&id)?;
    Ok(codes.counts)
}

impl Codes {
    fn equal(&mut self, what: &str, code: E, wanted: E) {
        if code == wanted {
            self.counts.pass();
            println!("ok {what}: {code}");
        } else {
            self.counts.fail(format!("FAILED {what}: {code}, wanted {wanted}"));
        }
    }

    fn nothing_begun(&mut self, known: &Producer) -> Result<()> {
        for (version, wanted) in
            [(3, E::InvalidTxnState), (9, E::InvalidTxnState), (11, E::TransactionAbortable)]
        {
            let code = self.settled(|codes| codes.produce(known, version))?;
            self.equal(&format!("Produce {version} to a partition that was not added"), code, wanted);
        }
        let mut nameless = known.clone();
        nameless.id.clear();
        let code = self.produce(&nameless, 12)?;
        self.equal("Produce without the transactional id", code, E::TransactionalIdAuthorizationFailed);
        for version in [0, 3, 4] {
            let code = self.end(known, true, version)?.0;
            self.equal(&format!("EndTxn {version} of nothing"), code, E::InvalidTxnState);
        }
        let code = self.end(known, true, 5)?.0;
        self.equal("EndTxn 5, a commit of nothing", code, E::InvalidTxnState);
        let added = self.add(known, &[0, 9], 3)?;
        self.equal("AddPartitionsToTxn beside an unknown partition", added[0], E::OperationNotAttempted);
        self.equal("AddPartitionsToTxn of an unknown partition", added[1], E::UnknownTopicOrPartition);
        Ok(())
    }

    fn unknown(&mut self, known: &Producer) -> Result<()> {
        let nobody = Producer { id: format!("{}-nobody", known.id), ..known.clone() };
        let foreign = Producer { producer_id: known.producer_id + 500_000, ..known.clone() };
        for (who, asker) in [("an unknown id", nobody), ("another producer id", foreign)] {
            let wanted = E::InvalidProducerIdMapping;
            let code = self.produce(&asker, 12)?;
            self.equal(&format!("Produce 12 of {who}"), code, wanted);
            let code = self.add(&asker, &[0], 3)?[0];
            self.equal(&format!("AddPartitionsToTxn 3 of {who}"), code, wanted);
            let code = self.add_offsets(&asker, 3)?;
            self.equal(&format!("AddOffsetsToTxn 3 of {who}"), code, wanted);
            let code = self.end(&asker, false, 5)?.0;
            self.equal(&format!("EndTxn 5 of {who}"), code, wanted);
            let code = self.commit_offset(&asker, 5)?;
            self.equal(&format!("TxnOffsetCommit 5 of {who}"), code, wanted);
        }
        let code = self.init("", None, 4)?.0;
        self.equal("InitProducerId of an empty id", code, E::InvalidRequest);
        let code = self.init(&known.id, Some((known.producer_id + 500_000, 0)), 4)?.0;
        self.equal("InitProducerId 4 as another producer", code, E::ProducerFenced);
        Ok(())
    }

    fn fenced(&mut self, old: &Producer) -> Result<()> {
        for version in [3, 9, 11, 12] {
            let code = self.produce(old, version)?;
            self.equal(&format!("Produce {version} of a fenced producer"), code, E::InvalidProducerEpoch);
        }
        for (version, wanted) in
            [(1, E::InvalidProducerEpoch), (2, E::ProducerFenced), (3, E::ProducerFenced)]
        {
            let code = self.add(old, &[0], version)?[0];
            self.equal(&format!("AddPartitionsToTxn {version} of a fenced producer"), code, wanted);
            let code = self.add_offsets(old, version)?;
            self.equal(&format!("AddOffsetsToTxn {version} of a fenced producer"), code, wanted);
            let code = self.end(old, true, version)?.0;
            self.equal(&format!("EndTxn {version} of a fenced producer"), code, wanted);
        }
        let code = self.commit_offset(old, 5)?;
        self.equal("TxnOffsetCommit 5 of a fenced producer", code, E::InvalidProducerEpoch);
        for (version, wanted) in [(3, E::InvalidProducerEpoch), (4, E::ProducerFenced)] {
            let code = self.init(&old.id, Some((old.producer_id, old.epoch)), version)?.0;
            self.equal(&format!("InitProducerId {version} as a fenced producer"), code, wanted);
        }
        Ok(())
    }

    fn ends(&mut self, known: &Producer) -> Result<()> {
        for commits in [true, false] {
            let code = self.settled(|codes| Ok(codes.add(known, &[0], 3)?[0]))?;
            self.equal("AddPartitionsToTxn 3", code, E::None);
            let code = self.end(known, commits, 3)?.0;
            self.equal("EndTxn 3", code, E::None);
            let code = self.settled(|codes| Ok(codes.end(known, commits, 3)?.0))?;
            self.equal("EndTxn 3, the same again", code, E::None);
            let code = self.end(known, !commits, 3)?.0;
            self.equal("EndTxn 3, the other end", code, E::InvalidTxnState);
        }
        Ok(())
    }

    fn ends_that_move_the_epoch(&mut self, known: &Producer) -> Result<()> {
        let code = self.settled(|codes| Ok(codes.add(known, &[0], 3)?[0]))?;
        self.equal("AddPartitionsToTxn 3 again", code, E::None);
        let (code, next) = self.end(known, true, 5)?;
        self.equal("EndTxn 5", code, E::None);
        let code = self.settled(|codes| Ok(codes.end(known, true, 5)?.0))?;
        self.equal("EndTxn 5, the same again", code, E::None);
        let code = self.end(known, false, 5)?.0;
        self.equal("EndTxn 5, the other end with the old epoch", code, E::InvalidTxnState);
        let code = self.end(&next, true, 5)?.0;
        self.equal("EndTxn 5, a commit of nothing with the new epoch", code, E::InvalidTxnState);
        let code = self.end(&next, false, 5)?.0;
        self.equal("EndTxn 5, an abort of nothing", code, E::None);
        Ok(())
    }

    /// Producers of which the partition knows nothing (any more) and that do not begin with 0.
    fn sequences_of_the_unknown(&mut self, id: &str) -> Result<()> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let answer = self.connection.call_version(&request, 4)?;
        self.equal("InitProducerId 4 without a transactional id", code(answer.error_code)?, E::None);
        let idempotent = Producer { id: String::new(), producer_id: answer.producer_id, epoch: 0 };
        for (what, sequence, wanted) in [
            ("the first batch of an idempotent producer, sequence 7", 7, E::None),
            ("then a gap", 9, E::OutOfOrderSequenceNumber),
            ("then the next one", 8, E::None),
        ] {
            let code = self.settled(|codes| codes.write(&idempotent, sequence, 9))?;
            self.equal(&format!("Produce 9, {what}"), code, wanted);
        }
        let joining = self.init(&format!("{id}-joining"), None, 4)?.1;
        let code = self.settled(|codes| codes.write(&joining, 7, 12))?;
        self.equal("Produce 12 that joins with sequence 7", code, E::OutOfOrderSequenceNumber);
        let code = self.settled(|codes| codes.write(&joining, 0, 12))?;
        self.equal("Produce 12 that joins with sequence 0", code, E::None);
        let added = self.init(&format!("{id}-added"), None, 4)?.1;
        let code = self.settled(|codes| Ok(codes.add(&added, &[1], 3)?[0]))?;
        self.equal("AddPartitionsToTxn 3 of one more", code, E::None);
        let code = self.settled(|codes| codes.write(&added, 7, 11))?;
        self.equal("Produce 11 to an added partition with sequence 7", code, E::None);
        for (producer, version) in [(&joining, 5), (&added, 3)] {
            let code = self.end(producer, false, version)?.0;
            self.equal(&format!("EndTxn {version} behind it"), code, E::None);
        }
        Ok(())
    }

    /// Kafka makes topics and ends transactions in steps, and sends whoever comes in between away.
    fn settled(&mut self, mut ask: impl FnMut(&mut Codes) -> Result<E>) -> Result<E> {
        for _ in 0..100 {
            let code = ask(self)?;
            if ![E::ConcurrentTransactions, E::NotLeaderOrFollower].contains(&code) {
                return Ok(code);
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Ok(E::ConcurrentTransactions)
    }

    fn init(&mut self, id: &str, expected: Option<(i64, i16)>, version: i16) -> Result<(E, Producer)> {
        let (producer_id, producer_epoch) = expected.unwrap_or((-1, -1));
        let request = InitProducerIdRequest {
            transactional_id: Some(id.to_owned()),
            transaction_timeout_ms: 60_000,
            producer_id,
            producer_epoch,
            ..Default::default()
        };
        let answer = self.connection.call_version(&request, version)?;
        let producer =
            Producer { id: id.to_owned(), producer_id: answer.producer_id, epoch: answer.producer_epoch };
        Ok((code(answer.error_code)?, producer))
    }

    fn produce(&mut self, producer: &Producer, version: i16) -> Result<E> {
        self.write_batch(producer, 0, true, version)
    }

    /// A batch of a transaction if the producer has a transactional id.
    fn write(&mut self, producer: &Producer, sequence: i32, version: i16) -> Result<E> {
        self.write_batch(producer, sequence, !producer.id.is_empty(), version)
    }

    fn write_batch(
        &mut self,
        producer: &Producer,
        sequence: i32,
        is_transactional: bool,
        version: i16,
    ) -> Result<E> {
        let builder = BatchBuilder::new(Compression::None);
        let mut builder = builder.producer(producer.producer_id, producer.epoch, sequence);
        if is_transactional {
            builder = builder.transactional();
        }
        builder.append(-1, None, Some(b"x"), &[])?;
        let data = PartitionProduceData { index: 1, records: Some(builder.build()?) };
        let request = ProduceRequest {
            transactional_id: Some(producer.id.clone()).filter(|id| !id.is_empty()),
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![TopicProduceData {
                name: self.topic.clone(),
                partition_data: vec![data],
                ..Default::default()
            }],
        };
        let answer = self.connection.call_version(&request, version)?;
        code(answer.responses[0].partition_responses[0].error_code)
    }

    fn add(&mut self, producer: &Producer, partitions: &[i32], version: i16) -> Result<Vec<E>> {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: producer.id.clone(),
            v3_and_below_producer_id: producer.producer_id,
            v3_and_below_producer_epoch: producer.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: self.topic.clone(),
                partitions: partitions.into(),
            }],
            ..Default::default()
        };
        let answer = self.connection.call_version(&request, version)?;
        let mut results: Vec<_> = answer
            .results_by_topic_v3_and_below
            .iter()
            .flat_map(|topic| &topic.results_by_partition)
            .map(|result| (result.partition_index, result.partition_error_code))
            .collect();
        results.sort_unstable();
        results.into_iter().map(|(_, number)| code(number)).collect()
    }

    fn add_offsets(&mut self, producer: &Producer, version: i16) -> Result<E> {
        let request = AddOffsetsToTxnRequest {
            transactional_id: producer.id.clone(),
            producer_id: producer.producer_id,
            producer_epoch: producer.epoch,
            group_id: self.topic.clone(),
        };
        code(self.connection.call_version(&request, version)?.error_code)
    }

    fn commit_offset(&mut self, producer: &Producer, version: i16) -> Result<E> {
        let partition = TxnOffsetCommitRequestPartition { committed_offset: 1, ..Default::default() };
        let request = TxnOffsetCommitRequest {
            transactional_id: producer.id.clone(),
            group_id: self.topic.clone(),
            producer_id: producer.producer_id,
            producer_epoch: producer.epoch,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: self.topic.clone(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = self.connection.call_version(&request, version)?;
        code(answer.topics[0].partitions[0].error_code)
    }

    fn end(&mut self, producer: &Producer, committed: bool, version: i16) -> Result<(E, Producer)> {
        let request = EndTxnRequest {
            transactional_id: producer.id.clone(),
            producer_id: producer.producer_id,
            producer_epoch: producer.epoch,
            committed,
        };
        let answer = self.connection.call_version(&request, version)?;
        let next =
            Producer { producer_id: answer.producer_id, epoch: answer.producer_epoch, ..producer.clone() };
        Ok((code(answer.error_code)?, next))
    }
}

fn code(number: i16) -> Result<E> {
    E::from_number(number).with_context(|| format!("the code {number} is not known"))
}
