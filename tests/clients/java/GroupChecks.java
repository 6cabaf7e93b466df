// Groups of the new protocol (KIP-848) with kafka-clients: group.protocol=consumer; part of ClientSuite.

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.FeatureMetadata;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.UnsupportedAssignorException;

class GroupChecks {
    private static final String COOPERATIVE = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    private static final String RANGE = "org.apache.kafka.clients.consumer.RangeAssignor";

    private final ClientSuite suite;

    GroupChecks(ClientSuite suite) {
        this.suite = suite;
    }

    void runAll() {
        suite.check("features of groups", this::features);
        suite.check("consumer group, uniform assignor", () -> consumerGroup("uniform"));
        suite.check("consumer group, range assignor", () -> consumerGroup("range"));
        suite.check("consumer group, topics and partitions that come late", this::topicsThatComeLate);
        suite.check("consumer group, pattern", this::pattern);
        suite.check("consumer group, static member", this::staticMember);
        suite.check("consumer group, what is refused", this::refused);
        suite.check("consumer group, configuration", this::configuration);
        suite.check("online upgrade and downgrade, cooperative members", () -> migration(COOPERATIVE));
        suite.check("online upgrade and downgrade, eager members", () -> migration(RANGE));
        suite.check("an empty group changes its protocol", this::emptyGroup);
    }

    private void features() throws Exception {
        FeatureMetadata features = ClientSuite.get(suite.admin.describeFeatures().featureMetadata());
        ClientSuite.equal(features.finalizedFeatures().get("group.version").maxVersionLevel(), (short) 1, "group.version");
    }

    private Map<String, Object> member(String group, Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of(
                "group.id", group, "group.protocol", "consumer", "auto.offset.reset", "earliest",
                "enable.auto.commit", "false"));
        config.putAll(more);
        return config;
    }

    private Map<String, Object> classicMember(String group, String assignor) {
        return Map.of("group.id", group, "group.protocol", "classic", "auto.offset.reset", "earliest",
                "enable.auto.commit", "false", "heartbeat.interval.ms", "500", "partition.assignment.strategy", assignor);
    }

    private ConsumerGroupDescription describe(String group) throws Exception {
        return ClientSuite.get(suite.admin.describeConsumerGroups(List.of(group)).all()).get(group);
    }

    private GroupListing listed(String group) throws Exception {
        return ClientSuite.get(suite.admin.listGroups().all()).stream()
                .filter(listing -> listing.groupId().equals(group)).findFirst().orElse(null);
    }

    private String fourPartitions(String name) throws Exception {
        String topic = suite.createTopic(name, 4, Map.of());
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int partition = 0; partition < 4; partition++) {
            for (int number = 0; number < 25; number++) {
                records.add(new ProducerRecord<>(topic, partition, null, ClientSuite.bytes(partition + "-" + number)));
            }
        }
        suite.produce(records, Map.of());
        return topic;
    }

    /** Polls until each member has as many partitions as wanted; they must never have one in common. */
    private void share(List<KafkaConsumer<byte[], byte[]>> members, int... wanted) throws Exception {
        ClientSuite.until("members with their share", () -> {
            members.forEach(member -> member.poll(ClientSuite.POLL));
            for (int index = 0; index < wanted.length; index++) {
                if (members.get(index).assignment().size() != wanted[index]) {
                    return false;
                }
            }
            return true;
        });
        Set<TopicPartition> all = new HashSet<>();
        int sum = 0;
        for (KafkaConsumer<byte[], byte[]> member : members) {
            all.addAll(member.assignment());
            sum += member.assignment().size();
        }
        ClientSuite.equal(all.size(), sum, "partitions of all members");
    }

    private void consumerGroup(String assignor) throws Exception {
        String topic = fourPartitions("consumer-group");
        String name = ClientSuite.unique("consumer-group");
        Map<String, Object> config = member(name, Map.of("group.remote.assignor", assignor));
        try (KafkaConsumer<byte[], byte[]> first = suite.consumer(config);
                KafkaConsumer<byte[], byte[]> second = suite.consumer(config)) {
            List<KafkaConsumer<byte[], byte[]>> members = List.of(first, second);
            members.forEach(member -> member.subscribe(List.of(topic)));
            share(members, 2, 2);
            for (KafkaConsumer<byte[], byte[]> member : members) {
                Map<TopicPartition, OffsetAndMetadata> commits = new HashMap<>();
                member.assignment().forEach(partition -> commits.put(partition, new OffsetAndMetadata(10, "ten")));
                member.commitSync(commits);
                if (assignor.equals("range")) {
                    TreeSet<Integer> run = new TreeSet<>();
                    member.assignment().forEach(partition -> run.add(partition.partition()));
                    ClientSuite.equal(run.last() - run.first(), 1, "distance of the two partitions of a range");
                }
            }
            ClientSuite.until("a stable group", () -> describe(name).groupState() == GroupState.STABLE);
            ConsumerGroupDescription described = describe(name);
            ClientSuite.equal(described.type(), GroupType.CONSUMER, "type");
            ClientSuite.equal(described.partitionAssignor(), assignor, "assignor");
            ClientSuite.equal(described.members().size(), 2, "members");
            ClientSuite.equal(described.groupEpoch(), described.targetAssignmentEpoch(), "epochs");
            for (MemberDescription one : described.members()) {
                ClientSuite.equal(one.assignment().topicPartitions().size(), 2, "partitions of a member");
                ClientSuite.equal(one.targetAssignment().get(), one.assignment(), "the target");
                ClientSuite.equal(one.memberEpoch(), described.groupEpoch(), "epoch of a member");
                ClientSuite.equal(one.upgraded().get(), true, "of the new protocol");
            }
            GroupListing listing = listed(name);
            ClientSuite.equal(listing.type().get(), GroupType.CONSUMER, "type in the list");
            ClientSuite.equal(listing.protocol(), "consumer", "protocol in the list");
            ClientSuite.fails(suite.admin.deleteConsumerGroups(List.of(name)).all(), GroupNotEmptyException.class);
        }
        ClientSuite.until("an empty group", () -> describe(name).groupState() == GroupState.EMPTY);
        try (KafkaConsumer<byte[], byte[]> third = suite.consumer(config)) {
            third.subscribe(List.of(topic));
            List<ConsumerRecord<byte[], byte[]>> read = new ArrayList<>();
            ClientSuite.until("the rest of the records", () -> {
                third.poll(ClientSuite.POLL).forEach(read::add);
                return read.size() >= 60;
            });
            ClientSuite.equal(read.size(), 60, "records after the return");
            read.forEach(record -> ClientSuite.equal(record.offset() >= 10, true, "an offset behind the committed one"));
            third.commitSync();
        }
        Map<TopicPartition, OffsetAndMetadata> committed =
                ClientSuite.get(suite.admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata());
        ClientSuite.equal(committed.size(), 4, "partitions with commits");
        committed.values().forEach(offset -> ClientSuite.equal(offset.offset(), 25L, "committed"));
        ClientSuite.get(suite.admin.deleteConsumerGroups(List.of(name)).all());
        ClientSuite.until("the group is gone", () -> listed(name) == null);
    }

    private void topicsThatComeLate() throws Exception {
        String name = ClientSuite.unique("late");
        String topic = suite.createTopic("late-first", 1, Map.of());
        try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(member(name, Map.of()))) {
            consumer.subscribe(List.of(topic));
            share(List.of(consumer), 1);
            ClientSuite.get(suite.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all());
            share(List.of(consumer), 3);
        }
    }

    private void pattern() throws Exception {
        String prefix = ClientSuite.unique("pattern");
        String first = suite.createTopic(prefix + "-a", 2, Map.of());
        suite.createTopic(prefix + "-z", 1, Map.of());
        String name = ClientSuite.unique("pattern");
        try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(member(name, Map.of()))) {
            consumer.subscribe(new SubscriptionPattern(prefix + "-[ab].*"));
            share(List.of(consumer), 2);
            consumer.assignment().forEach(partition -> ClientSuite.equal(partition.topic(), first, "topic"));
            consumer.subscribe(new SubscriptionPattern(prefix + "-[az].*"));
            share(List.of(consumer), 3);
        }
    }

    private void staticMember() throws Exception {
        String topic = fourPartitions("static");
        String name = ClientSuite.unique("static");
        Map<String, Object> config = member(name, Map.of("group.instance.id", "reader-1"));
        int epoch;
        try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(config)) {
            consumer.subscribe(List.of(topic));
            share(List.of(consumer), 4);
            epoch = describe(name).groupEpoch().get();
            try (KafkaConsumer<byte[], byte[]> twin = suite.consumer(config)) {
                twin.subscribe(List.of(topic));
                throwsWhilePolling(twin, UnreleasedInstanceIdException.class);
            }
        }
        // It is only away for a while: nothing has to be computed when it comes back.
        ClientSuite.equal(describe(name).members().size(), 1, "members while it is away");
        try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(config)) {
            consumer.subscribe(List.of(topic));
            share(List.of(consumer), 4);
            ClientSuite.equal(describe(name).groupEpoch().get(), epoch, "epoch of the group");
        }
    }

    private static void throwsWhilePolling(KafkaConsumer<byte[], byte[]> consumer, Class<? extends Exception> wanted)
            throws Exception {
        ClientSuite.until(wanted.getSimpleName(), () -> {
            try {
                consumer.poll(ClientSuite.POLL);
                return false;
            } catch (RuntimeException error) {
                ClientSuite.equal(error.getClass(), wanted, "error");
                return true;
            }
        });
    }

    private void refused() throws Exception {
        String topic = suite.createTopic("refused", 1, Map.of());
        String name = ClientSuite.unique("refused");
        try (KafkaConsumer<byte[], byte[]> consumer =
                suite.consumer(member(name, Map.of("group.remote.assignor", "best")))) {
            consumer.subscribe(List.of(topic));
            throwsWhilePolling(consumer, UnsupportedAssignorException.class);
        }
        try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(member(name, Map.of()))) {
            consumer.subscribe(new SubscriptionPattern("("));
            throwsWhilePolling(consumer, InvalidRegularExpression.class);
        }
    }

    private void configuration() throws Exception {
        String name = ClientSuite.unique("configuration");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, name);
        String key = "consumer.session.timeout.ms";
        ClientSuite.equal(config(resource, key).value(), "45000", "the default");
        set(resource, key, "50000").get();
        ClientSuite.until("the changed value", () -> config(resource, key).value().equals("50000"));
        ClientSuite.equal(config(resource, key).source(), ConfigEntry.ConfigSource.DYNAMIC_GROUP_CONFIG, "its source");
        ClientSuite.fails(set(resource, key, "1"), InvalidConfigurationException.class);
        ClientSuite.fails(set(resource, "no.such.key", "1"), InvalidConfigurationException.class);
    }

    private ConfigEntry config(ConfigResource resource, String key) throws Exception {
        return ClientSuite.get(suite.admin.describeConfigs(List.of(resource)).all()).get(resource).get(key);
    }

    private org.apache.kafka.common.KafkaFuture<Void> set(ConfigResource resource, String key, String value) {
        Collection<AlterConfigOp> change =
                List.of(new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET));
        return suite.admin.incrementalAlterConfigs(Map.of(resource, change)).all();
    }

    private void migration(String assignor) throws Exception {
        String topic = fourPartitions("migration");
        String name = ClientSuite.unique("migration");
        try (KafkaConsumer<byte[], byte[]> classic = suite.consumer(classicMember(name, assignor))) {
            classic.subscribe(List.of(topic));
            share(List.of(classic), 4);
            classic.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(3)));
            ClientSuite.equal(listed(name).type().get(), GroupType.CLASSIC, "type at first");
            try (KafkaConsumer<byte[], byte[]> modern = suite.consumer(member(name, Map.of()))) {
                modern.subscribe(List.of(topic));
                share(List.of(classic, modern), 2, 2);
                ClientSuite.equal(listed(name).type().get(), GroupType.CONSUMER, "type after the upgrade");
                Set<Boolean> upgraded = new TreeSet<>();
                describe(name).members().forEach(one -> upgraded.add(one.upgraded().get()));
                ClientSuite.equal(upgraded, Set.of(false, true), "members of both protocols");
                for (KafkaConsumer<byte[], byte[]> member : List.of(classic, modern)) {
                    Map<TopicPartition, OffsetAndMetadata> commits = new HashMap<>();
                    member.assignment().forEach(partition -> commits.put(partition, new OffsetAndMetadata(20)));
                    member.commitSync(commits);
                }
            }
            // The last member of the new protocol is gone.
            share(List.of(classic), 4);
            ClientSuite.equal(listed(name).type().get(), GroupType.CLASSIC, "type after the downgrade");
            classic.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(21)));
        }
        Map<TopicPartition, OffsetAndMetadata> committed =
                ClientSuite.get(suite.admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata());
        ClientSuite.equal(committed.get(new TopicPartition(topic, 0)).offset(), 21L, "committed at last");
        ClientSuite.equal(committed.get(new TopicPartition(topic, 1)).offset(), 20L, "committed in between");
    }

    private void emptyGroup() throws Exception {
        String topic = fourPartitions("empty");
        String name = ClientSuite.unique("empty");
        try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(member(name, Map.of()))) {
            consumer.subscribe(List.of(topic));
            share(List.of(consumer), 4);
            consumer.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(7)));
        }
        try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(classicMember(name, RANGE))) {
            consumer.subscribe(List.of(topic));
            share(List.of(consumer), 4);
            ClientSuite.equal(listed(name).type().get(), GroupType.CLASSIC, "type of the group");
            ClientSuite.equal(consumer.committed(Set.of(new TopicPartition(topic, 0)))
                    .get(new TopicPartition(topic, 0)).offset(), 7L, "committed before");
        }
        try (KafkaConsumer<byte[], byte[]> consumer = suite.consumer(member(name, Map.of()))) {
            consumer.subscribe(List.of(topic));
            share(List.of(consumer), 4);
            ClientSuite.equal(listed(name).type().get(), GroupType.CONSUMER, "type in the end");
        }
    }
}
