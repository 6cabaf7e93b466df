// Apache Storm's KafkaSpout and KafkaBolt on a local cluster: `StormSuite HOST:PORT`.

import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.storm.Config;
import org.apache.storm.LocalCluster;
import org.apache.storm.kafka.bolt.KafkaBolt;
import org.apache.storm.kafka.bolt.mapper.FieldNameBasedTupleToKafkaMapper;
import org.apache.storm.kafka.bolt.selector.DefaultTopicSelector;
import org.apache.storm.kafka.spout.FirstPollOffsetStrategy;
import org.apache.storm.kafka.spout.KafkaSpout;
import org.apache.storm.kafka.spout.KafkaSpoutConfig;
import org.apache.storm.kafka.spout.KafkaSpoutConfig.ProcessingGuarantee;
import org.apache.storm.topology.TopologyBuilder;

public class StormSuite {
    static final int ROWS = 300;

    final Checks checks;
    final LocalCluster cluster;
    int topologies = 0;

    public static void main(String[] arguments) throws Exception {
        try (Checks checks = new Checks(arguments[0]); LocalCluster cluster = new LocalCluster()) {
            new StormSuite(checks, cluster).run();
        }
        // Threads of the local cluster outlive it.
        System.exit(0);
    }

    StormSuite(Checks checks, LocalCluster cluster) {
        this.checks = checks;
        this.cluster = cluster;
    }

    void run() {
        checks.check("at least once, topic to topic, killed and started from its group's offsets", () ->
            restarts(ProcessingGuarantee.AT_LEAST_ONCE));
        checks.check("at most once, topic to topic, killed and started from its group's offsets", () ->
            restarts(ProcessingGuarantee.AT_MOST_ONCE));
        checks.check("topics by pattern, two spouts in one group", this::pattern);
        checks.check("from the latest offset", this::latest);
    }

    void restarts(ProcessingGuarantee guarantee) throws Exception {
        String from = checks.topic("storm-from", 2);
        String to = checks.topic("storm-to", 1);
        String group = "storm-" + from;
        for (int round = 1; round <= 2; round++) {
            checks.write(from, "value", (round - 1) * ROWS, round * ROWS);
            KafkaSpoutConfig.Builder<String, String> spout =
                new KafkaSpoutConfig.Builder<>(checks.bootstrap, from);
            int rows = round * ROWS;
            running(configured(spout, group, FirstPollOffsetStrategy.UNCOMMITTED_EARLIEST, guarantee), 1, to, () -> {
                Checks.until("rows of round", () -> checks.values(to).size() >= rows);
                // What is not committed would come again.
                Checks.until("the group's offsets", () -> checks.committed(group, from) == rows);
            });
            Checks.equal(checks.values(to), Checks.expected("value", rows), "values");
        }
    }

    void pattern() throws Exception {
        String prefix = checks.topic("storm-pattern", 1);
        String more = prefix + "-more";
        checks.admin.createTopics(List.of(new NewTopic(more, 2, (short) 1))).all().get();
        String to = checks.topic("storm-all", 1);
        checks.write(prefix, "first", 0, ROWS);
        checks.write(more, "second", 0, ROWS);
        KafkaSpoutConfig.Builder<String, String> spout =
            new KafkaSpoutConfig.Builder<>(checks.bootstrap, Pattern.compile(prefix + ".*"));
        running(configured(spout, "group-" + prefix, FirstPollOffsetStrategy.EARLIEST, ProcessingGuarantee.AT_LEAST_ONCE),
            2, to, () -> Checks.until("all rows", () -> checks.values(to).size() >= 2 * ROWS));
        List<String> wanted = new java.util.ArrayList<>(Checks.expected("first", ROWS));
        wanted.addAll(Checks.expected("second", ROWS));
        Checks.equal(checks.values(to), wanted, "values");
    }

    void latest() throws Exception {
        String from = checks.topic("storm-latest", 1);
        String to = checks.topic("storm-latest-to", 1);
        checks.write(from, "old", 0, ROWS);
        KafkaSpoutConfig.Builder<String, String> spout = new KafkaSpoutConfig.Builder<>(checks.bootstrap, from);
        running(configured(spout, "group-" + from, FirstPollOffsetStrategy.LATEST, ProcessingGuarantee.AT_LEAST_ONCE),
            1, to, () -> {
                // Written until the spout is there and has its position.
                for (int number = 0; checks.values(to).isEmpty(); number++) {
                    checks.write(from, "new", number, number + 1);
                }
            });
        Checks.equal(checks.values(to).stream().filter(value -> value.startsWith("old")).count(), 0L, "old values");
    }

    KafkaSpoutConfig<String, String> configured(
            KafkaSpoutConfig.Builder<String, String> spout, String group, FirstPollOffsetStrategy first,
            ProcessingGuarantee guarantee) {
        return spout
            .setProp("group.id", group)
            .setProp("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer")
            .setProp("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer")
            .setFirstPollOffsetStrategy(first)
            .setProcessingGuarantee(guarantee)
            .setOffsetCommitPeriodMs(200)
            .build();
    }

    /** Runs a topology from the spout to the topic as long as `during` takes, and kills it. */
    void running(KafkaSpoutConfig<String, String> spout, int spouts, String to, Checks.Check during) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", checks.bootstrap);
        properties.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        properties.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        TopologyBuilder builder = new TopologyBuilder();
        builder.setSpout("spout", new KafkaSpout<>(spout), spouts);
        builder.setBolt("bolt", new KafkaBolt<String, String>()
            .withProducerProperties(properties)
            .withTopicSelector(new DefaultTopicSelector(to))
            .withTupleToKafkaMapper(new FieldNameBasedTupleToKafkaMapper<>("key", "value")), 1)
            .shuffleGrouping("spout");
        Config config = new Config();
        config.setMessageTimeoutSecs(30);
        String name = "topology-" + topologies++;
        try (LocalCluster.LocalTopology topology = cluster.submitTopology(name, Map.copyOf(config), builder.createTopology())) {
            during.run();
        }
    }
}
