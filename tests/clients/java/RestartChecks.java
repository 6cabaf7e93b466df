// Java's clients whose node is killed amid their work: `NODE=PROGRAM DATA=FOLDER ClientSuite restarts HOST:PORT`.
//
// The checks start the node themselves, on the address given, and kill it at places of their work rather than at times.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;

class RestartChecks {
    private static final int PARTITIONS = 2;

    private final ClientSuite suite;
    private Process node;

    RestartChecks(ClientSuite suite) throws IOException {
        this.suite = suite;
        start();
    }

    void runAll() {
        suite.check("an idempotent producer goes on", this::idempotent);
        suite.check("read, process, write: each record once", this::transactions);
        suite.check("a share consumer loses nothing", this::share);
        node.destroyForcibly();
    }

    private void start() throws IOException {
        node = new ProcessBuilder(
                System.getenv("NODE"), "start", "--data", System.getenv("DATA"), "--kafka", suite.bootstrap, "--http", "none")
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        String line = new BufferedReader(new InputStreamReader(node.getInputStream())).readLine();
        if (line == null || !line.contains("kafka listening")) {
            throw new IOException("the node says: " + line);
        }
    }

    /** As a crash of the process does: what it holds in memory is gone. */
    private void kill() {
        try {
            node.destroyForcibly().waitFor();
            start();
        } catch (IOException | InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    private void idempotent() throws Exception {
        String topic = suite.createTopic("restarts-idempotent", PARTITIONS, Map.of());
        int count = 20_000;
        Semaphore underWay = new Semaphore(2_000);
        ConcurrentLinkedQueue<Exception> failures = new ConcurrentLinkedQueue<>();
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("enable.idempotence", true, "linger.ms", 2))) {
            for (int number = 0; number < count; number++) {
                if (!underWay.tryAcquire(ClientSuite.LIMIT_SECONDS, TimeUnit.SECONDS)) {
                    throw new AssertionError("no acknowledgement came; failures: " + failures);
                }
                producer.send(record(topic, number), (metadata, error) -> {
                    underWay.release();
                    if (error != null) {
                        failures.add(error);
                    }
                });
                if (number % 4_000 == 3_999) {
                    kill();
                }
            }
            producer.flush();
        }
        ClientSuite.equal(new ArrayList<>(failures), List.of(), "records that were not acknowledged");
        expectEachOnce(topic, count);
    }

    /** Kills before, in and behind commits; whoever does not know what became of a transaction begins anew. */
    private void transactions() throws Exception {
        String source = suite.createTopic("restarts-source", PARTITIONS, Map.of());
        String target = suite.createTopic("restarts-target", PARTITIONS, Map.of());
        int count = 3_000;
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
            for (int number = 0; number < count; number++) {
                producer.send(record(source, number));
            }
        }
        String id = ClientSuite.unique("restarts");
        Map<String, Object> options = Map.of(
                "group.id", id, "isolation.level", "read_committed", "max.poll.records", 100, "group.protocol", "consumer");
        int transactions = 0;
        try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(options)) {
            consumer.subscribe(List.of(source));
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(4 * ClientSuite.LIMIT_SECONDS);
            while (!isDone(consumer, source, count)) {
                if (System.nanoTime() > end) {
                    throw new AssertionError("not done after " + transactions + " transactions");
                }
                try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("transactional.id", id))) {
                    producer.initTransactions();
                    toCommitted(consumer);
                    while (!isDone(consumer, source, count)) {
                        transactions++;
                        process(consumer, producer, target, transactions);
                    }
                } catch (KafkaException error) {
                    // What became of the transaction is known when the next producer has begun.
                }
            }
        }
        if (transactions < count / 100) {
            throw new AssertionError("only " + transactions + " transactions");
        }
        expectEachOnce(target, count);
    }

    private void process(
            KafkaConsumer<byte[], byte[]> consumer, KafkaProducer<byte[], byte[]> producer, String target, int number) {
        ConsumerRecords<byte[], byte[]> records = consumer.poll(ClientSuite.POLL);
        if (records.isEmpty()) {
            return;
        }
        producer.beginTransaction();
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            producer.send(new ProducerRecord<>(target, record.partition(), null, record.value()));
            offsets.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
        }
        if (number % 5 == 1) {
            kill();
        }
        producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
        Thread killer = new Thread(this::kill);
        if (number % 5 == 3) {
            killer.start();
        }
        try {
            producer.commitTransaction();
        } finally {
            join(killer);
        }
    }

    private static void join(Thread thread) {
        try {
            thread.join();
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    private static void toCommitted(KafkaConsumer<byte[], byte[]> consumer) {
        Set<TopicPartition> assigned = consumer.assignment();
        consumer.committed(assigned).forEach((partition, offset) ->
                consumer.seek(partition, offset == null ? 0 : offset.offset()));
    }

    private static boolean isDone(KafkaConsumer<byte[], byte[]> consumer, String topic, int count) {
        Set<TopicPartition> all = new TreeSet<>(java.util.Comparator.comparingInt(TopicPartition::partition));
        for (int partition = 0; partition < PARTITIONS; partition++) {
            all.add(new TopicPartition(topic, partition));
        }
        return consumer.committed(all).values().stream().mapToLong(offset -> offset == null ? 0 : offset.offset()).sum() == count;
    }

    /** Locks end with the node; what was accepted does not come again. */
    private void share() throws Exception {
        String topic = suite.createTopic("restarts-share", 1, Map.of());
        String group = new ShareChecks(suite).group("restarts", Map.of("share.delivery.count.limit", "10"));
        int count = 400;
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
            for (int number = 0; number < count; number++) {
                producer.send(new ProducerRecord<>(topic, ClientSuite.bytes("" + number)));
            }
        }
        Set<Long> delivered = new TreeSet<>();
        Set<Long> accepted = new TreeSet<>();
        int[] polls = {0};
        Map<String, String> options = Map.of("share.acknowledgement.mode", "explicit", "max.poll.records", "40");
        try (KafkaShareConsumer<byte[], byte[]> consumer = new ShareChecks(suite).consumer(group, options)) {
            consumer.subscribe(List.of(topic));
            ClientSuite.until("the end of the queue", () -> {
                List<Long> offsets = new ArrayList<>();
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(ClientSuite.POLL)) {
                    if (accepted.contains(record.offset())) {
                        throw new AssertionError("offset " + record.offset() + " was accepted and came again");
                    }
                    offsets.add(record.offset());
                    consumer.acknowledge(record);
                }
                delivered.addAll(offsets);
                polls[0] += offsets.isEmpty() ? 0 : 1;
                // Before the acknowledgements are sent, and behind them.
                if (!offsets.isEmpty() && polls[0] % 4 == 1) {
                    kill();
                }
                Map<TopicIdPartition, Optional<KafkaException>> results = consumer.commitSync(Duration.ofSeconds(10));
                if (!offsets.isEmpty() && results.values().stream().allMatch(Optional::isEmpty)) {
                    accepted.addAll(offsets);
                }
                if (!offsets.isEmpty() && polls[0] % 4 == 3) {
                    kill();
                }
                return new ShareChecks(suite).start(group, new TopicPartition(topic, 0)) == count;
            });
        }
        ClientSuite.equal(delivered.size(), count, "records delivered");
        if (accepted.isEmpty()) {
            throw new AssertionError("none were accepted at once");
        }
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, int number) {
        return new ProducerRecord<>(topic, number % PARTITIONS, null, ClientSuite.bytes("" + number));
    }

    /** Each partition has its numbers once, in their order. */
    private void expectEachOnce(String topic, int count) throws Exception {
        for (int partition = 0; partition < PARTITIONS; partition++) {
            List<String> wanted = new ArrayList<>();
            for (int number = partition; number < count; number += PARTITIONS) {
                wanted.add("" + number);
            }
            List<String> read = new TransactionChecks(suite).read(topic, partition, "read_committed");
            ClientSuite.equal(read.size(), wanted.size(), "records of partition " + partition);
            ClientSuite.equal(read, wanted, "records of partition " + partition);
        }
    }

    private KafkaProducer<byte[], byte[]> producer(Map<String, Object> options) {
        Map<String, Object> config = new HashMap<>(Map.of(
                "bootstrap.servers", suite.bootstrap,
                "request.timeout.ms", 5_000,
                "reconnect.backoff.max.ms", 500));
        config.putAll(options);
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }
}
