// What the suites on the JVM share: named checks with a verdict each, topics, and plain clients beside the one under test.

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Checks implements AutoCloseable {
    // For a JVM on a loaded machine; nothing waits this long when all is well.
    static final int LIMIT_SECONDS = 60;

    public interface Check {
        void run() throws Exception;
    }

    public final String bootstrap;
    public final Admin admin;

    public Checks(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    /** Runs one check and says how it ended; a later one runs all the same. */
    public void check(String name, Check check) {
        long start = System.nanoTime();
        try {
            check.run();
            System.out.printf("ok %s (%.2f s)%n", name, (System.nanoTime() - start) / 1e9);
        } catch (Throwable error) {
            System.out.println("FAILED " + name + ": " + String.valueOf(error).replace('\n', ' '));
            error.printStackTrace();
        }
    }

    /** A topic that no earlier run has used. */
    public String topic(String name, int partitions) throws Exception {
        String topic = name + "-" + UUID.randomUUID().toString().substring(0, 8);
        admin.createTopics(List.of(new NewTopic(topic, Optional.of(partitions), Optional.empty()))).all().get();
        return topic;
    }

    public KafkaProducer<String, String> producer(Map<String, Object> more) {
        Map<String, Object> properties = new java.util.HashMap<>(more);
        properties.put("bootstrap.servers", bootstrap);
        return new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer());
    }

    /** Writes the values `PREFIX-FIRST` to before `PREFIX-END`, over all partitions in turn. */
    public void write(String topic, String prefix, int first, int end) throws Exception {
        int partitions = partitions(topic).size();
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            for (int number = first; number < end; number++) {
                String key = "key-" + number % 7;
                producer.send(new ProducerRecord<>(topic, number % partitions, key, prefix + "-" + number));
            }
        }
    }

    public List<TopicPartition> partitions(String topic) throws Exception {
        List<TopicPartition> all = new ArrayList<>();
        admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions()
            .forEach(partition -> all.add(new TopicPartition(topic, partition.partition())));
        return all;
    }

    /** All records of a topic that a reader of committed records sees. */
    public List<ConsumerRecord<String, String>> read(String topic) throws Exception {
        Map<String, Object> properties =
            Map.of("bootstrap.servers", bootstrap, "isolation.level", "read_committed", "enable.auto.commit", false);
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer =
                new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> partitions = partitions(topic);
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            until("all records of " + topic, () -> {
                consumer.poll(Duration.ofMillis(200)).forEach(records::add);
                return partitions.stream().allMatch(one -> consumer.position(one) >= ends.get(one));
            });
        }
        return records;
    }

    /** The sorted values of a topic; what is there twice stands twice. */
    public List<String> values(String topic) throws Exception {
        return read(topic).stream().map(ConsumerRecord::value).sorted().toList();
    }

    /** What `write` wrote, sorted. */
    public static List<String> expected(String prefix, int end) {
        return java.util.stream.IntStream.range(0, end).mapToObj(number -> prefix + "-" + number).sorted().toList();
    }

    /** How many records of the topic the group has committed. */
    public long committed(String group, String topic) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> offsets =
            admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        return partitions(topic).stream().mapToLong(one -> offsets.get(one) == null ? 0 : offsets.get(one).offset()).sum();
    }

    public static void until(String what, Callable<Boolean> reached) throws Exception {
        long end = System.nanoTime() + LIMIT_SECONDS * 1_000_000_000L;
        while (!reached.call()) {
            if (System.nanoTime() > end) {
                throw new AssertionError(what + ": not within " + LIMIT_SECONDS + " seconds");
            }
            Thread.onSpinWait();
            java.util.concurrent.locks.LockSupport.parkNanos(20_000_000);
        }
    }

    public static void equal(Object actual, Object wanted, String what) {
        if (!actual.equals(wanted)) {
            throw new AssertionError(what + ": got " + shorten(actual) + ", wanted " + shorten(wanted));
        }
    }

    private static String shorten(Object value) {
        String text = String.valueOf(value);
        return text.length() <= 300 ? text : text.substring(0, 300) + "… (" + text.length() + " characters)";
    }

    @Override
    public void close() {
        admin.close();
    }
}
