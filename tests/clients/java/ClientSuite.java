// The suite of kafka-clients, Apache Kafka's own Java client: `ClientSuite [share | restarts] HOST:PORT`.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class ClientSuite {
    static final int LIMIT_SECONDS = 120;
    static final Duration POLL = Duration.ofMillis(100);

    interface Check {
        void run() throws Exception;
    }

    final String bootstrap;
    final Admin admin;
    private int passed;
    private int failed;

    public static void main(String[] arguments) throws Exception {
        ClientSuite suite = new ClientSuite(arguments[arguments.length - 1]);
        if (arguments[0].equals("share")) {
            new ShareChecks(suite).runAll();
        } else if (arguments[0].equals("restarts")) {
            new RestartChecks(suite).runAll();
        } else {
            suite.runAll();
        }
        System.out.println(suite.passed + " passed, " + suite.failed + " failed");
        // Threads of clients whose check failed may still be there.
        Runtime.getRuntime().halt(suite.failed == 0 && suite.passed > 0 ? 0 : 1);
    }

    private ClientSuite(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of(
                "bootstrap.servers", bootstrap,
                "default.api.timeout.ms", LIMIT_SECONDS * 1000,
                "request.timeout.ms", 10_000));
    }

    private void runAll() {
        check("metadata", this::metadata);
        for (String compression : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            check("produce and consume, " + compression, () -> roundTrip(compression));
        }
        check("acks=0 and acks=1", this::weakAcks);
        check("idempotent producer in small batches", this::idempotent);
        check("offsets by time, seek", this::offsets);
        check("group, range assignor", () -> group("org.apache.kafka.clients.consumer.RangeAssignor"));
        check("group, cooperative-sticky assignor",
                () -> group("org.apache.kafka.clients.consumer.CooperativeStickyAssignor"));
        check("topic configs", this::topicConfigs);
        check("more partitions", this::morePartitions);
        check("delete records", this::deleteRecords);
        check("delete topic", this::deleteTopic);
        check("create a topic twice", this::createTwice);
        new TransactionChecks(this).runAll();
        new GroupChecks(this).runAll();
    }

    void check(String name, Check check) {
        long start = System.nanoTime();
        try {
            check.run();
            passed++;
            System.out.printf("ok %s (%.2f s)%n", name, (System.nanoTime() - start) / 1e9);
        } catch (Exception | AssertionError error) {
            failed++;
            System.out.println("FAILED " + name + ": " + error);
            error.printStackTrace(System.out);
        }
    }

    private void metadata() throws Exception {
        String topic = createTopic("meta", 3, Map.of());
        TopicDescription description = get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic);
        equal(description.partitions().size(), 3, "partitions");
        int node = get(admin.describeCluster().nodes()).iterator().next().id();
        description.partitions().forEach(partition -> equal(partition.leader().id(), node, "leader"));
        equal(get(admin.describeCluster().clusterId()) != null, true, "a cluster id");
        equal(get(admin.listTopics().names()).contains(topic), true, "topic listed");
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            equal(consumer.partitionsFor(topic).size(), 3, "partitions seen by a consumer");
        }
    }

    private void roundTrip(String compression) throws Exception {
        String topic = createTopic("round-trip-" + compression, 1, Map.of());
        List<ProducerRecord<byte[], byte[]>> records = sampleRecords(topic, 500);
        List<Long> acknowledged = produce(records, Map.of("compression.type", compression));
        List<String> sent = new ArrayList<>();
        records.forEach(record -> sent.add(show(record.key(), record.value(), record.headers().toArray())));
        List<ConsumerRecord<byte[], byte[]>> read = readAll(topic, 0, 0, records.size());
        List<String> got = new ArrayList<>();
        read.forEach(record -> got.add(show(record.key(), record.value(), record.headers().toArray())));
        equal(got, sent, "records");
        for (int index = 0; index < read.size(); index++) {
            equal(read.get(index).offset(), (long) index, "offset read");
            equal(acknowledged.get(index), (long) index, "offset acknowledged");
        }
        equal(readAll(topic, 0, 455, 48).get(0).offset(), 455L, "first offset from the middle");
    }

    private void weakAcks() throws Exception {
        for (String acks : List.of("0", "1")) {
            String topic = createTopic("acks-" + acks, 1, Map.of());
            List<ProducerRecord<byte[], byte[]>> records = sampleRecords(topic, 50);
            produce(records, Map.of("acks", acks, "enable.idempotence", "false"));
            equal(readAll(topic, 0, 0, records.size()).size(), records.size(), "records with acks=" + acks);
        }
    }

    private void idempotent() throws Exception {
        String topic = createTopic("idempotent", 1, Map.of());
        List<ProducerRecord<byte[], byte[]>> records = sampleRecords(topic, 1000);
        produce(records, Map.of("enable.idempotence", "true", "batch.size", "1000", "linger.ms", "0"));
        List<ConsumerRecord<byte[], byte[]>> read = readAll(topic, 0, 0, records.size());
        for (int index = 0; index < read.size(); index++) {
            equal(Arrays.equals(read.get(index).value(), records.get(index).value()), true, "value " + index);
        }
    }

    private void offsets() throws Exception {
        // Retention must not take what is years old.
        String topic = createTopic("time", 1, Map.of("retention.ms", "-1"));
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int number = 0; number < 10; number++) {
            records.add(new ProducerRecord<>(topic, 0, 1_700_000_000_000L + number * 1000L, null, bytes("" + number)));
        }
        produce(records, Map.of());
        TopicPartition partition = new TopicPartition(topic, 0);
        equal(offset(partition, OffsetSpec.earliest()), 0L, "earliest");
        equal(offset(partition, OffsetSpec.latest()), 10L, "latest");
        equal(offset(partition, OffsetSpec.forTimestamp(1_700_000_004_500L)), 5L, "by time");
        equal(offset(partition, OffsetSpec.maxTimestamp()), 9L, "of the highest time");
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, 1_700_000_004_500L)).get(partition);
            equal(found.timestamp(), 1_700_000_005_000L, "time found");
            equal(consumer.endOffsets(List.of(partition)).get(partition), 10L, "end");
        }
    }

    private void group(String assignor) throws Exception {
        String topic = createTopic("group", 4, Map.of());
        String name = unique("group");
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int partition = 0; partition < 4; partition++) {
            for (int number = 0; number < 25; number++) {
                records.add(new ProducerRecord<>(topic, partition, null, bytes(partition + "-" + number)));
            }
        }
        produce(records, Map.of());
        Map<String, Object> config = Map.of(
                "group.id", name,
                "auto.offset.reset", "earliest",
                "heartbeat.interval.ms", "500",
                "partition.assignment.strategy", assignor);
        try (KafkaConsumer<byte[], byte[]> first = consumer(config);
                KafkaConsumer<byte[], byte[]> second = consumer(config)) {
            List<KafkaConsumer<byte[], byte[]>> members = List.of(first, second);
            members.forEach(member -> member.subscribe(List.of(topic)));
            until("two members with two partitions each", () -> {
                // Whatever is read before the balance comes again: nothing is committed.
                members.forEach(member -> member.poll(POLL));
                return first.assignment().size() == 2 && second.assignment().size() == 2;
            });
            Set<Integer> owned = new TreeSet<>();
            for (KafkaConsumer<byte[], byte[]> member : members) {
                Map<TopicPartition, OffsetAndMetadata> commits = new HashMap<>();
                for (TopicPartition partition : member.assignment()) {
                    owned.add(partition.partition());
                    commits.put(partition, new OffsetAndMetadata(10, "ten"));
                }
                member.commitSync(commits);
            }
            equal(owned, Set.of(0, 1, 2, 3), "partitions of both members");
            equal(get(admin.describeClassicGroups(List.of(name)).all()).get(name).members().size(), 2, "described");
        }
        try (KafkaConsumer<byte[], byte[]> third = consumer(config)) {
            third.subscribe(List.of(topic));
            List<ConsumerRecord<byte[], byte[]>> read = new ArrayList<>();
            until("the rest of the records", () -> {
                third.poll(POLL).forEach(read::add);
                return read.size() >= 60;
            });
            equal(read.size(), 60, "records after the return");
            read.forEach(record -> equal(record.offset() >= 10, true, "an offset behind the committed one"));
            third.commitSync();
        }
        Map<TopicPartition, OffsetAndMetadata> committed =
                get(admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata());
        equal(committed.size(), 4, "partitions with commits");
        committed.values().forEach(offset -> equal(offset.offset(), 25L, "committed"));
        equal(isListed(name), true, "group listed");
        TopicPartition one = new TopicPartition(topic, 1);
        get(admin.deleteConsumerGroupOffsets(name, Set.of(one)).all());
        equal(get(admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata()).size(), 3, "offsets left");
        get(admin.alterConsumerGroupOffsets(name, Map.of(one, new OffsetAndMetadata(7))).all());
        equal(get(admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata()).get(one).offset(), 7L, "altered");
        get(admin.deleteConsumerGroups(List.of(name)).all());
        equal(isListed(name), false, "deleted group listed");
    }

    private boolean isListed(String group) throws Exception {
        return get(admin.listGroups().all()).stream().map(GroupListing::groupId).anyMatch(group::equals);
    }

    private void topicConfigs() throws Exception {
        String topic = createTopic("config", 1, Map.of("retention.ms", "3600000"));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        equal(config(resource, "retention.ms"), "3600000", "as created");
        equal(config(resource, "cleanup.policy"), "delete", "by default");
        AlterConfigOp change =
                new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET);
        get(admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all());
        until("the altered retention.ms", () -> config(resource, "retention.ms").equals("7200000"));
    }

    private String config(ConfigResource resource, String name) throws Exception {
        return get(admin.describeConfigs(List.of(resource)).all()).get(resource).get(name).value();
    }

    private void morePartitions() throws Exception {
        String topic = createTopic("grow", 1, Map.of());
        get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all());
        produce(List.of(new ProducerRecord<>(topic, 2, null, bytes("in the new one"))), Map.of());
        equal(new String(readAll(topic, 2, 0, 1).get(0).value(), StandardCharsets.UTF_8), "in the new one", "value");
    }

    private void deleteRecords() throws Exception {
        String topic = createTopic("trim", 1, Map.of());
        produce(sampleRecords(topic, 97), Map.of());
        TopicPartition partition = new TopicPartition(topic, 0);
        get(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(40))).all());
        equal(offset(partition, OffsetSpec.earliest()), 40L, "earliest");
        // An offset that is gone is answered with an error, upon which the consumer goes to the beginning.
        equal(readAll(topic, 0, 5, 60).get(0).offset(), 40L, "first offset read");
    }

    private void deleteTopic() throws Exception {
        String topic = createTopic("gone", 1, Map.of());
        get(admin.deleteTopics(List.of(topic)).all());
        until("topic gone", () -> !isTopic(topic));
        fails(admin.deleteTopics(List.of(topic)).all(), UnknownTopicOrPartitionException.class);
    }

    private void createTwice() throws Exception {
        String topic = createTopic("twice", 1, Map.of());
        fails(admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all(), TopicExistsException.class);
    }

    String createTopic(String name, int partitions, Map<String, String> configs) throws Exception {
        String topic = unique(name);
        NewTopic wanted = new NewTopic(topic, Optional.of(partitions), Optional.empty()).configs(configs);
        get(admin.createTopics(List.of(wanted)).all());
        // Kafka's controller knows a change a moment before the broker that clients ask.
        until("topic " + topic, () -> isTopic(topic));
        return topic;
    }

    private boolean isTopic(String name) throws Exception {
        return get(admin.listTopics().names()).contains(name);
    }

    long offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return get(admin.listOffsets(Map.of(partition, spec)).all()).get(partition).offset();
    }

    List<Long> produce(List<ProducerRecord<byte[], byte[]>> records, Map<String, Object> options)
            throws Exception {
        Map<String, Object> config = new HashMap<>(Map.of(
                "bootstrap.servers", bootstrap,
                "delivery.timeout.ms", LIMIT_SECONDS * 1000,
                "request.timeout.ms", 10_000));
        config.putAll(options);
        List<Long> offsets = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> pending = new ArrayList<>();
            records.forEach(record -> pending.add(producer.send(record)));
            producer.flush();
            for (Future<RecordMetadata> done : pending) {
                offsets.add(done.get(LIMIT_SECONDS, TimeUnit.SECONDS).offset());
            }
        }
        return offsets;
    }

    KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> options) {
        Map<String, Object> config = new HashMap<>(Map.of(
                "bootstrap.servers", bootstrap,
                "enable.auto.commit", "false",
                "auto.offset.reset", "earliest",
                "default.api.timeout.ms", LIMIT_SECONDS * 1000));
        config.putAll(options);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Reads exactly `count` records by assignment, without a group. */
    private List<ConsumerRecord<byte[], byte[]>> readAll(String topic, int partition, long offset, int count)
            throws Exception {
        TopicPartition assigned = new TopicPartition(topic, partition);
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(Map.of())) {
            consumer.assign(List.of(assigned));
            consumer.seek(assigned, offset);
            List<ConsumerRecord<byte[], byte[]>> read = new ArrayList<>();
            until(count + " records of " + topic, () -> {
                consumer.poll(POLL).forEach(read::add);
                return read.size() >= count;
            });
            equal(read.size(), count, "records read");
            return read;
        }
    }

    private static List<ProducerRecord<byte[], byte[]>> sampleRecords(String topic, int count) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            byte[] key = number % 5 == 0 ? null : bytes("key-" + number % 7);
            List<Header> headers = number % 3 == 0 ? List.of(header("trace", "" + number)) : List.of();
            records.add(new ProducerRecord<>(
                    topic, 0, key, bytes(("value " + number + " ").repeat(1 + number % 50)), headers));
        }
        records.add(new ProducerRecord<>(
                topic, 0, bytes("empty"), new byte[0], List.of(header("same", "1"), header("same", "2"))));
        records.add(new ProducerRecord<>(topic, 0, bytes("deleted"), null, List.of(new RecordHeader("null", (byte[]) null))));
        records.add(new ProducerRecord<>(topic, 0, new byte[] {0, -1, -2}, new byte[10_240]));
        return records;
    }

    private static Header header(String name, String value) {
        return new RecordHeader(name, bytes(value));
    }

    private static String show(byte[] key, byte[] value, Header[] headers) {
        StringBuilder text = new StringBuilder(Arrays.toString(key)).append(Arrays.toString(value));
        for (Header header : headers) {
            text.append(header.key()).append('=').append(Arrays.toString(header.value()));
        }
        return text.toString();
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String unique(String name) {
        return name + "-" + UUID.randomUUID().toString().substring(0, 10);
    }

    static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(LIMIT_SECONDS, TimeUnit.SECONDS);
    }

    static void fails(KafkaFuture<?> future, Class<? extends Exception> wanted) throws Exception {
        try {
            get(future);
        } catch (ExecutionException error) {
            equal(error.getCause().getClass(), wanted, "error");
            return;
        }
        throw new AssertionError("succeeded, wanted " + wanted.getSimpleName());
    }

    static void equal(Object actual, Object wanted, String what) {
        if (!wanted.equals(actual)) {
            String got = String.valueOf(actual);
            throw new AssertionError(what + ": got " + got.substring(0, Math.min(400, got.length())) + ", wanted "
                    + String.valueOf(wanted).substring(0, Math.min(400, String.valueOf(wanted).length())));
        }
    }

    /** Calls `poll`, which itself waits a little, until it is true; fails at the limit. */
    static void until(String what, Callable<Boolean> poll) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
        while (System.nanoTime() < end) {
            if (poll.call()) {
                return;
            }
        }
        throw new AssertionError(what + ": not within " + LIMIT_SECONDS + " seconds");
    }
}
