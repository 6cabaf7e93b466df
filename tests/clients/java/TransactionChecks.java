// Transactions with kafka-clients, version 2 of the protocol included; part of ClientSuite.
//
// `TransactionChecks HOST:PORT TOPIC ID` leaves a transaction with one record open, as a producer that dies does.

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.FeatureMetadata;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;
import org.apache.kafka.common.serialization.ByteArraySerializer;

class TransactionChecks {
    private final ClientSuite suite;

    TransactionChecks(ClientSuite suite) {
        this.suite = suite;
    }

    public static void main(String[] arguments) throws Exception {
        KafkaProducer<byte[], byte[]> producer = producer(arguments[0], arguments[2], Map.of("transaction.timeout.ms", 600_000));
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(arguments[1], ClientSuite.bytes("open"))).get(30, TimeUnit.SECONDS);
        // No close, which would abort.
        Runtime.getRuntime().halt(0);
    }

    void runAll() {
        suite.check("features of transactions", this::features);
        suite.check("transactions, committed and aborted", this::committedAndAborted);
        suite.check("a fenced transactional producer", this::fenced);
        suite.check("offsets in transactions", this::offsets);
        suite.check("an open transaction is described and aborted", this::aborted);
        suite.check("a producer goes on after its transaction was timed out", this::timedOut);
    }

    private void features() throws Exception {
        FeatureMetadata features = ClientSuite.get(suite.admin.describeFeatures().featureMetadata());
        ClientSuite.equal(features.finalizedFeatures().get("transaction.version").maxVersionLevel(), (short) 2,
                "transaction.version");
        ClientSuite.equal(features.finalizedFeaturesEpoch().isPresent(), true, "an epoch of the features");
    }

    private void committedAndAborted() throws Exception {
        String topic = suite.createTopic("transactions", 2, Map.of());
        List<String> wanted = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = producer(ClientSuite.unique("id"), Map.of())) {
            producer.initTransactions();
            for (int number = 0; number < 12; number++) {
                producer.beginTransaction();
                for (int part = 0; part < 20; part++) {
                    for (int partition = 0; partition < 2; partition++) {
                        producer.send(new ProducerRecord<>(topic, partition, null, ClientSuite.bytes(number + "-" + part)));
                    }
                    if (number % 3 != 1) {
                        wanted.add(number + "-" + part);
                    }
                }
                if (number % 3 == 1) {
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
            List<String> half = wanted.stream().distinct().toList();
            for (int partition = 0; partition < 2; partition++) {
                ClientSuite.equal(read(topic, partition, "read_committed"), half, "committed records of " + partition);
            }
            ClientSuite.equal(read(topic, 0, "read_uncommitted").size(), 240, "records whatever became of them");
        }
    }

    private void fenced() throws Exception {
        String topic = suite.createTopic("fencing", 1, Map.of());
        String id = ClientSuite.unique("id");
        KafkaProducer<byte[], byte[]> old = producer(id, Map.of());
        old.initTransactions();
        old.beginTransaction();
        old.send(new ProducerRecord<>(topic, ClientSuite.bytes("old"))).get(30, TimeUnit.SECONDS);
        try (KafkaProducer<byte[], byte[]> next = producer(id, Map.of())) {
            next.initTransactions();
            try {
                old.commitTransaction();
                throw new AssertionError("a producer that was fenced has committed");
            } catch (ProducerFencedException | InvalidProducerEpochException error) {
                old.close(Duration.ZERO);
            }
            next.beginTransaction();
            next.send(new ProducerRecord<>(topic, ClientSuite.bytes("new")));
            next.commitTransaction();
        }
        ClientSuite.equal(read(topic, 0, "read_committed"), List.of("new"), "committed records");
    }

    private void offsets() throws Exception {
        String source = suite.createTopic("source", 1, Map.of());
        String target = suite.createTopic("target", 1, Map.of());
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int number = 0; number < 30; number++) {
            records.add(new ProducerRecord<>(source, ClientSuite.bytes("" + number)));
        }
        suite.produce(records, Map.of());
        String group = ClientSuite.unique("processor");
        TopicPartition partition = new TopicPartition(source, 0);
        try (KafkaProducer<byte[], byte[]> producer = producer(ClientSuite.unique("id"), Map.of())) {
            producer.initTransactions();
            for (boolean commits : new boolean[] {true, false, true}) {
                try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(Map.of(
                        "group.id", group, "isolation.level", "read_committed", "max.poll.records", 10))) {
                    consumer.subscribe(List.of(source));
                    List<byte[]> values = new ArrayList<>();
                    long[] next = {0};
                    ClientSuite.until("ten records", () -> {
                        consumer.poll(ClientSuite.POLL).forEach(record -> {
                            values.add(record.value());
                            next[0] = record.offset() + 1;
                        });
                        return !values.isEmpty();
                    });
                    producer.beginTransaction();
                    values.forEach(value -> producer.send(new ProducerRecord<>(target, value)));
                    producer.sendOffsetsToTransaction(
                            Map.of(partition, new OffsetAndMetadata(next[0])), consumer.groupMetadata());
                    if (commits) {
                        producer.commitTransaction();
                    } else {
                        producer.abortTransaction();
                    }
                    OffsetAndMetadata committed = consumer.committed(Set.of(partition)).get(partition);
                    ClientSuite.equal(committed.offset(), commits ? next[0] : 10L, "the group's position");
                }
            }
        }
        List<String> wanted = new ArrayList<>();
        for (int number = 0; number < 20; number++) {
            wanted.add("" + number);
        }
        ClientSuite.equal(read(target, 0, "read_committed"), wanted, "what was processed");
    }

    private void aborted() throws Exception {
        String topic = suite.createTopic("hanging", 1, Map.of());
        String id = ClientSuite.unique("id");
        TopicPartition partition = new TopicPartition(topic, 0);
        KafkaProducer<byte[], byte[]> producer = producer(id, Map.of());
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(topic, ClientSuite.bytes("open"))).get(30, TimeUnit.SECONDS);
        TransactionDescription described = ClientSuite.get(suite.admin.describeTransactions(List.of(id)).all()).get(id);
        ClientSuite.equal(described.state(), TransactionState.ONGOING, "the state");
        ClientSuite.equal(described.topicPartitions(), Set.of(partition), "the partitions");
        ClientSuite.equal(described.transactionTimeoutMs(), 60_000L, "the time-out");
        ListTransactionsOptions ongoing = new ListTransactionsOptions()
                .filterStates(List.of(TransactionState.ONGOING)).filterProducerIds(List.of(described.producerId()));
        ClientSuite.equal(ClientSuite.get(suite.admin.listTransactions(ongoing).all()).size(), 1, "listed transactions");
        ProducerState state = ClientSuite.get(suite.admin.describeProducers(List.of(partition)).all())
                .get(partition).activeProducers().get(0);
        ClientSuite.equal(state.currentTransactionStartOffset().getAsLong(), 0L, "where the transaction begins");
        ClientSuite.equal(state.producerId(), described.producerId(), "its producer");
        ClientSuite.get(suite.admin.abortTransaction(new AbortTransactionSpec(partition, state.producerId(),
                (short) state.producerEpoch(), state.coordinatorEpoch().orElse(0))).all());
        ProducerState after = ClientSuite.get(suite.admin.describeProducers(List.of(partition)).all())
                .get(partition).activeProducers().get(0);
        ClientSuite.equal(after.currentTransactionStartOffset().isPresent(), false, "an open transaction");
        ClientSuite.equal(read(topic, 0, "read_committed"), List.of(), "committed records");
        producer.close(Duration.ZERO);
        ClientSuite.fails(suite.admin.describeTransactions(List.of("nobody")).description("nobody"),
                TransactionalIdNotFoundException.class);
    }

    private void timedOut() throws Exception {
        String topic = suite.createTopic("timed-out", 1, Map.of());
        KafkaProducer<byte[], byte[]> producer =
                producer(ClientSuite.unique("id"), Map.of("transaction.timeout.ms", 1500));
        producer.initTransactions();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(topic, ClientSuite.bytes("late"))).get(30, TimeUnit.SECONDS);
        // Kafka looks every ten seconds. The marker takes an offset.
        ClientSuite.until("the marker", () -> {
            Thread.sleep(100);
            return suite.offset(new TopicPartition(topic, 0), OffsetSpec.latest()) == 2;
        });
        try {
            producer.send(new ProducerRecord<>(topic, ClientSuite.bytes("later"))).get(30, TimeUnit.SECONDS);
            throw new AssertionError("a record was taken for a transaction that was timed out");
        } catch (ExecutionException error) {
            ClientSuite.equal(error.getCause().getClass(), InvalidProducerEpochException.class, "error");
        }
        producer.abortTransaction();
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(topic, ClientSuite.bytes("new")));
        producer.commitTransaction();
        producer.close();
        ClientSuite.equal(read(topic, 0, "read_committed"), List.of("new"), "committed records");
    }

    /** All values up to the end that the isolation level sees. */
    List<String> read(String topic, int partition, String isolation) throws Exception {
        TopicPartition assigned = new TopicPartition(topic, partition);
        try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(Map.of("isolation.level", isolation))) {
            consumer.assign(List.of(assigned));
            consumer.seekToBeginning(List.of(assigned));
            long end = consumer.endOffsets(List.of(assigned)).get(assigned);
            List<String> values = new ArrayList<>();
            ClientSuite.until("the end of " + topic, () -> {
                consumer.poll(ClientSuite.POLL).forEach(record -> values.add(new String(record.value())));
                return consumer.position(assigned) >= end;
            });
            return values;
        }
    }

    private KafkaProducer<byte[], byte[]> producer(String id, Map<String, Object> options) {
        return producer(suite.bootstrap, id, options);
    }

    private static KafkaProducer<byte[], byte[]> producer(String bootstrap, String id, Map<String, Object> options) {
        Map<String, Object> config = new HashMap<>(Map.of(
                "bootstrap.servers", bootstrap, "transactional.id", id, "transaction.timeout.ms", 60_000,
                "request.timeout.ms", 10_000));
        config.putAll(options);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }
}
