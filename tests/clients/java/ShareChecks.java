// Share groups (queues, KIP-932) of kafka-clients: part of ClientSuite, and the same against Apache Kafka and our node.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.UUID;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.ListShareGroupOffsetsSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ShareGroupDescription;
import org.apache.kafka.clients.admin.SharePartitionOffsetInfo;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

class ShareChecks {
    private static final Duration POLL = Duration.ofMillis(200);

    private final ClientSuite suite;

    ShareChecks(ClientSuite suite) {
        this.suite = suite;
    }

    void runAll() {
        suite.check("share group, implicit acknowledgement", this::implicit);
        suite.check("share group, accept, release and reject", this::explicit);
        suite.check("share group, delivery limit", this::deliveryLimit);
        suite.check("share group, several consumers", this::severalConsumers);
        suite.check("share group, a consumer that leaves releases", this::leaving);
        suite.check("share group, read_committed", this::readCommitted);
        suite.check("share group, records deleted", this::recordsDeleted);
        suite.check("share group, list, describe, offsets", this::administer);
        suite.check("share group, wrong configurations", this::wrongConfigurations);
        suite.check("share group, renewed and lost locks", this::locks);
    }

    private void implicit() throws Exception {
        String topic = suite.createTopic("share-implicit", 1, Map.of());
        String group = group("implicit", Map.of());
        send(topic, 0, 30);
        try (KafkaShareConsumer<byte[], byte[]> consumer = consumer(group, Map.of())) {
            consumer.subscribe(List.of(topic));
            ClientSuite.equal(offsets(poll(consumer, 30)), range(0, 30), "offsets");
            // The next poll acknowledges them all.
            consumer.poll(POLL);
        }
        send(topic, 30, 3);
        try (KafkaShareConsumer<byte[], byte[]> consumer = consumer(group, Map.of())) {
            consumer.subscribe(List.of(topic));
            List<ConsumerRecord<byte[], byte[]>> records = poll(consumer, 3);
            ClientSuite.equal(offsets(records), range(30, 33), "offsets of the second");
            records.forEach(record -> ClientSuite.equal(record.deliveryCount(), Optional.of((short) 1), "deliveries"));
        }
    }

    private void explicit() throws Exception {
        String topic = suite.createTopic("share-explicit", 1, Map.of());
        String group = group("explicit", Map.of());
        send(topic, 0, 9);
        try (KafkaShareConsumer<byte[], byte[]> consumer =
                consumer(group, Map.of("share.acknowledgement.mode", "explicit"))) {
            consumer.subscribe(List.of(topic));
            for (ConsumerRecord<byte[], byte[]> record : poll(consumer, 9)) {
                AcknowledgeType type = switch ((int) (record.offset() % 3)) {
                    case 0 -> AcknowledgeType.ACCEPT;
                    case 1 -> AcknowledgeType.RELEASE;
                    default -> AcknowledgeType.REJECT;
                };
                consumer.acknowledge(record, type);
            }
            noErrors(consumer.commitSync());
            List<ConsumerRecord<byte[], byte[]>> again = poll(consumer, 3);
            ClientSuite.equal(offsets(again), new TreeSet<>(Set.of(1L, 4L, 7L)), "released offsets");
            for (ConsumerRecord<byte[], byte[]> record : again) {
                ClientSuite.equal(record.deliveryCount(), Optional.of((short) 2), "second delivery");
                consumer.acknowledge(record);
            }
            noErrors(consumer.commitSync());
            ClientSuite.equal(consumer.poll(POLL).count(), 0, "records left");
        }
    }

    private void deliveryLimit() throws Exception {
        String topic = suite.createTopic("share-limit", 1, Map.of());
        String group = group("limit", Map.of("share.delivery.count.limit", "3"));
        send(topic, 0, 2);
        try (KafkaShareConsumer<byte[], byte[]> consumer =
                consumer(group, Map.of("share.acknowledgement.mode", "explicit"))) {
            consumer.subscribe(List.of(topic));
            Map<Long, Short> most = new TreeMap<>();
            long until = System.nanoTime() + ClientSuite.LIMIT_SECONDS * 1_000_000_000L;
            int deliveries = 0;
            while (deliveries < 6 && System.nanoTime() < until) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) {
                    deliveries++;
                    most.merge(record.offset(), record.deliveryCount().get(), (a, b) -> a > b ? a : b);
                    consumer.acknowledge(record, AcknowledgeType.RELEASE);
                }
                noErrors(consumer.commitSync());
            }
            ClientSuite.equal(most, Map.of(0L, (short) 3, 1L, (short) 3), "deliveries by offset");
            ClientSuite.equal(consumer.poll(POLL).count(), 0, "records beyond the limit");
        }
    }

    private void severalConsumers() throws Exception {
        String topic = suite.createTopic("share-several", 1, Map.of());
        String group = group("several", Map.of());
        int count = 300;
        send(topic, 0, count);
        List<KafkaShareConsumer<byte[], byte[]>> consumers = new ArrayList<>();
        try {
            for (int index = 0; index < 3; index++) {
                KafkaShareConsumer<byte[], byte[]> consumer = consumer(group,
                        Map.of("max.poll.records", "20", "share.acquire.mode", "record_limit"));
                consumer.subscribe(List.of(topic));
                consumers.add(consumer);
            }
            Set<Long> seen = new TreeSet<>();
            Set<Integer> who = new TreeSet<>();
            long until = System.nanoTime() + ClientSuite.LIMIT_SECONDS * 1_000_000_000L;
            while (seen.size() < count && System.nanoTime() < until) {
                for (int index = 0; index < consumers.size(); index++) {
                    for (ConsumerRecord<byte[], byte[]> record : consumers.get(index).poll(POLL)) {
                        ClientSuite.equal(seen.add(record.offset()), true, "delivered once: " + record.offset());
                        who.add(index);
                    }
                }
            }
            ClientSuite.equal(seen, range(0, count), "offsets");
            ClientSuite.equal(who.size() > 1, true, "more than one consumer worked");
        } finally {
            consumers.forEach(KafkaShareConsumer::close);
        }
    }

    private void leaving() throws Exception {
        String topic = suite.createTopic("share-leaving", 1, Map.of());
        String group = group("leaving", Map.of());
        send(topic, 0, 5);
        KafkaShareConsumer<byte[], byte[]> first =
                consumer(group, Map.of("share.acknowledgement.mode", "explicit"));
        first.subscribe(List.of(topic));
        poll(first, 5);
        first.close();
        try (KafkaShareConsumer<byte[], byte[]> second = consumer(group, Map.of())) {
            second.subscribe(List.of(topic));
            List<ConsumerRecord<byte[], byte[]>> records = poll(second, 5);
            ClientSuite.equal(offsets(records), range(0, 5), "offsets");
            records.forEach(record -> ClientSuite.equal(record.deliveryCount(), Optional.of((short) 2), "deliveries"));
        }
    }

    private void readCommitted() throws Exception {
        String topic = suite.createTopic("share-committed", 1, Map.of());
        String group = group("committed", Map.of("share.isolation.level", "read_committed"));
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of("transactional.id", UUID.randomUUID().toString()))) {
            producer.initTransactions();
            for (String value : List.of("void", "good")) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, 0, null, bytes(value)));
                producer.flush();
                if (value.equals("good")) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
            }
        }
        send(topic, 0, 1);
        try (KafkaShareConsumer<byte[], byte[]> consumer = consumer(group, Map.of())) {
            consumer.subscribe(List.of(topic));
            List<String> values = new ArrayList<>();
            poll(consumer, 2).forEach(record -> values.add(new String(record.value(), StandardCharsets.UTF_8)));
            ClientSuite.equal(values, List.of("good", "0"), "values");
        }
    }

    private void recordsDeleted() throws Exception {
        String topic = suite.createTopic("share-deleted", 1, Map.of());
        String group = group("deleted", Map.of());
        send(topic, 0, 10);
        suite.get(suite.admin.deleteRecords(
                Map.of(new TopicPartition(topic, 0), RecordsToDelete.beforeOffset(6))).all());
        try (KafkaShareConsumer<byte[], byte[]> consumer = consumer(group, Map.of())) {
            consumer.subscribe(List.of(topic));
            ClientSuite.equal(offsets(poll(consumer, 4)), range(6, 10), "offsets");
        }
    }

    private void administer() throws Exception {
        String topic = suite.createTopic("share-admin", 2, Map.of());
        String group = group("admin", Map.of());
        TopicPartition first = new TopicPartition(topic, 0);
        send(topic, 0, 8);
        try (KafkaShareConsumer<byte[], byte[]> consumer = consumer(group, Map.of())) {
            consumer.subscribe(List.of(topic));
            poll(consumer, 8);
            consumer.poll(POLL);
            noErrors(consumer.commitSync());
            ShareGroupDescription description =
                    suite.get(suite.admin.describeShareGroups(List.of(group)).all()).get(group);
            ClientSuite.equal(description.groupState(), GroupState.STABLE, "state");
            ClientSuite.equal(description.members().size(), 1, "members");
            ClientSuite.equal(description.members().iterator().next().assignment().topicPartitions(),
                    Set.of(first, new TopicPartition(topic, 1)), "assignment");
            GroupListing listed = null;
            ListGroupsOptions shares = new ListGroupsOptions().withTypes(Set.of(GroupType.SHARE));
            for (GroupListing listing : suite.get(suite.admin.listGroups(shares).all())) {
                listed = listing.groupId().equals(group) ? listing : listed;
            }
            ClientSuite.equal(listed != null && listed.groupState().get() == GroupState.STABLE, true, "listed");
            try {
                suite.get(suite.admin.alterShareGroupOffsets(group, Map.of(first, 3L)).all());
                throw new AssertionError("offsets of a group with members were altered");
            } catch (Exception error) {
                ClientSuite.equal(error.getCause() instanceof GroupNotEmptyException
                        || error instanceof GroupNotEmptyException, true, "refused as not empty: " + error);
            }
        }
        // Kafka's start offset stays behind until the state is written the next time; the lag counts what is done.
        ClientSuite.equal(offsetInfo(group, first).lag().orElse(-1L), 0L, "lag");
        suite.get(suite.admin.alterShareGroupOffsets(group, Map.of(first, 5L)).all());
        ClientSuite.equal(offsetInfo(group, first).startOffset(), 5L, "altered start offset");
        ClientSuite.equal(offsetInfo(group, first).lag().orElse(-1L), 3L, "altered lag");
        try (KafkaShareConsumer<byte[], byte[]> consumer = consumer(group, Map.of())) {
            consumer.subscribe(List.of(topic));
            ClientSuite.equal(offsets(poll(consumer, 3)), range(5, 8), "offsets after the change");
        }
        suite.get(suite.admin.deleteShareGroupOffsets(group, Set.of(topic)).all());
        suite.get(suite.admin.deleteShareGroups(List.of(group)).all());
    }

    private void wrongConfigurations() throws Exception {
        for (Map.Entry<String, String> wrong : Map.of(
                "share.record.lock.duration.ms", "10",
                "share.delivery.count.limit", "1",
                "share.auto.offset.reset", "sometimes",
                "share.isolation.level", "dirty",
                "share.nonsense", "1").entrySet()) {
            try {
                group("wrong", Map.of(wrong.getKey(), wrong.getValue()));
                throw new AssertionError("taken: " + wrong);
            } catch (Exception error) {
                ClientSuite.equal(String.valueOf(error).contains("InvalidConfigurationException"), true,
                        wrong + " refused: " + error);
            }
        }
    }

    // Fifteen seconds are the shortest lock that Kafka allows by default.
    private void locks() throws Exception {
        String topic = suite.createTopic("share-locks", 1, Map.of());
        String group = group("locks", Map.of("share.record.lock.duration.ms", "15000"));
        send(topic, 0, 2);
        try (KafkaShareConsumer<byte[], byte[]> slow =
                        consumer(group, Map.of("share.acknowledgement.mode", "explicit"));
                KafkaShareConsumer<byte[], byte[]> other = consumer(group, Map.of())) {
            slow.subscribe(List.of(topic));
            List<ConsumerRecord<byte[], byte[]>> held = poll(slow, 2);
            ClientSuite.equal(offsets(held), range(0, 2), "offsets");
            ClientSuite.equal(slow.acquisitionLockTimeoutMs(), Optional.of(15_000), "duration of the lock");
            long start = System.nanoTime();
            other.subscribe(List.of(topic));
            long until = start + 10_000_000_000L;
            while (System.nanoTime() < until) {
                ClientSuite.equal(other.poll(POLL).count(), 0, "records while the locks hold");
            }
            slow.acknowledge(held.get(0), AcknowledgeType.RENEW);
            slow.acknowledge(held.get(1), AcknowledgeType.RENEW);
            noErrors(slow.commitSync());
            until = start + 18_000_000_000L;
            while (System.nanoTime() < until) {
                ClientSuite.equal(other.poll(POLL).count(), 0, "records while the renewed locks hold");
            }
            List<ConsumerRecord<byte[], byte[]>> again = poll(other, 2);
            ClientSuite.equal(offsets(again), range(0, 2), "offsets after the locks");
            again.forEach(record -> ClientSuite.equal(record.deliveryCount(), Optional.of((short) 2), "deliveries"));
            noErrors(other.commitSync());
        }
    }

    /** Everything before it is done. */
    long start(String group, TopicPartition partition) throws Exception {
        SharePartitionOffsetInfo info = offsetInfo(group, partition);
        return info == null ? 0 : info.startOffset();
    }

    private SharePartitionOffsetInfo offsetInfo(String group, TopicPartition partition) throws Exception {
        ListShareGroupOffsetsSpec spec = new ListShareGroupOffsetsSpec().topicPartitions(List.of(partition));
        return suite.get(suite.admin.listShareGroupOffsets(Map.of(group, spec)).partitionsToOffsetInfo(group))
                .get(partition);
    }

    /** A new group that reads from the beginning. */
    String group(String name, Map<String, String> configuration) throws Exception {
        String group = "share-" + name + "-" + UUID.randomUUID();
        Map<String, String> all = new HashMap<>(Map.of("share.auto.offset.reset", "earliest"));
        all.putAll(configuration);
        Collection<AlterConfigOp> operations = new ArrayList<>();
        all.forEach((key, value) ->
                operations.add(new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET)));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
        suite.get(suite.admin.incrementalAlterConfigs(Map.of(resource, operations)).all());
        return group;
    }

    KafkaShareConsumer<byte[], byte[]> consumer(String group, Map<String, String> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", suite.bootstrap, "group.id", group));
        all.putAll(settings);
        return new KafkaShareConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private KafkaProducer<byte[], byte[]> producer(Map<String, String> settings) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", suite.bootstrap));
        all.putAll(settings);
        return new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
    }

    private void send(String topic, int from, int count) {
        try (KafkaProducer<byte[], byte[]> producer = producer(Map.of())) {
            for (int index = from; index < from + count; index++) {
                producer.send(new ProducerRecord<>(topic, 0, null, bytes(Integer.toString(index))));
            }
            producer.flush();
        }
    }

    /** Polls until so many records have come. */
    private static List<ConsumerRecord<byte[], byte[]>> poll(KafkaShareConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long until = System.nanoTime() + ClientSuite.LIMIT_SECONDS * 1_000_000_000L;
        while (records.size() < count && System.nanoTime() < until) {
            consumer.poll(POLL).forEach(records::add);
        }
        ClientSuite.equal(records.size(), count, "records polled");
        return records;
    }

    private static void noErrors(Map<TopicIdPartition, Optional<KafkaException>> results) {
        results.forEach((partition, error) -> ClientSuite.equal(error, Optional.empty(), "error of " + partition));
    }

    private static Set<Long> offsets(List<ConsumerRecord<byte[], byte[]>> records) {
        Set<Long> offsets = new TreeSet<>();
        records.forEach(record -> offsets.add(record.offset()));
        return offsets;
    }

    private static Set<Long> range(long from, long to) {
        Set<Long> offsets = new TreeSet<>();
        for (long offset = from; offset < to; offset++) {
            offsets.add(offset);
        }
        return offsets;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
