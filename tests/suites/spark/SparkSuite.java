// Spark Structured Streaming's Kafka source and sink: `SparkSuite HOST:PORT FOLDER`.

import static org.apache.spark.sql.functions.col;
import static org.apache.spark.sql.functions.concat;
import static org.apache.spark.sql.functions.expr;
import static org.apache.spark.sql.functions.lit;

import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.streaming.StreamingQuery;
import org.apache.spark.sql.streaming.Trigger;

public class SparkSuite {
    static final int ROWS = 600;

    final Checks checks;
    final SparkSession spark;
    final String folder;

    public static void main(String[] arguments) {
        SparkSession spark = SparkSession.builder()
            .master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.local.dir", arguments[1])
            .config("spark.sql.warehouse.dir", arguments[1] + "/warehouse")
            .getOrCreate();
        try (Checks checks = new Checks(arguments[0])) {
            new SparkSuite(checks, spark, arguments[1]).run();
        } finally {
            spark.stop();
        }
    }

    SparkSuite(Checks checks, SparkSession spark, String folder) {
        this.checks = checks;
        this.spark = spark;
        this.folder = folder;
    }

    void run() {
        checks.check("batch, written and read back with keys, headers and partitions", this::batch);
        checks.check("batch, from and to offsets", this::offsets);
        checks.check("batch, from a time", this::times);
        checks.check("batch, records that are deleted are not read", this::deleted);
        checks.check("stream, topic to topic, stopped and started from its checkpoint", this::restarts);
        checks.check("stream, counts by key, stopped and started from its checkpoint", this::counts);
        checks.check("stream, only what is committed", this::committed);
        checks.check("stream, topics by pattern, one of them new", this::pattern);
    }

    void batch() throws Exception {
        String topic = checks.topic("spark-batch", 2);
        Dataset<Row> rows = spark.range(ROWS).select(
            expr("concat('key-', id % 7)").as("key"),
            expr("concat('value-', id)").as("value"),
            expr("array(struct('number' AS key, CAST(CAST(id AS STRING) AS BINARY) AS value))").as("headers"),
            expr("CAST(id % 2 AS INT)").as("partition"));
        rows.write().format("kafka").option("kafka.bootstrap.servers", checks.bootstrap)
            .option("topic", topic).option("includeHeaders", "true").save();
        List<String> read = source(topic).option("includeHeaders", "true").load()
            .select(expr("concat_ws(' ', CAST(key AS STRING), CAST(value AS STRING), partition, headers[0].key, "
                + "CAST(headers[0].value AS STRING))"))
            .collectAsList().stream().map(row -> row.getString(0)).sorted().toList();
        List<String> wanted = java.util.stream.IntStream.range(0, ROWS)
            .mapToObj(id -> "key-" + id % 7 + " value-" + id + " " + id % 2 + " number " + id).sorted().toList();
        Checks.equal(read, wanted, "rows");
        Checks.equal(checks.values(topic), Checks.expected("value", ROWS), "values by Kafka's consumer");
    }

    void offsets() throws Exception {
        String topic = checks.topic("spark-offsets", 2);
        checks.write(topic, "value", 0, 100);
        String from = "{\"" + topic + "\":{\"0\":10,\"1\":-2}}";
        String to = "{\"" + topic + "\":{\"0\":20,\"1\":-1}}";
        long count = source(topic).option("startingOffsets", from).option("endingOffsets", to).load().count();
        Checks.equal(count, 60L, "rows");
    }

    void times() throws Exception {
        String topic = checks.topic("spark-times", 1);
        try (KafkaProducer<String, String> producer = checks.producer(Map.of())) {
            for (int number = 0; number < 50; number++) {
                producer.send(new ProducerRecord<>(topic, 0, 1_000_000L + number * 1000, null, "value-" + number));
            }
        }
        long count = source(topic).option("startingTimestamp", 1_000_000L + 29_500).load().count();
        Checks.equal(count, 20L, "rows");
    }

    void deleted() throws Exception {
        String topic = checks.topic("spark-deleted", 1);
        checks.write(topic, "value", 0, 100);
        TopicPartition partition = new TopicPartition(topic, 0);
        checks.admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(40))).all().get();
        Dataset<Row> rows = source(topic).load();
        Checks.equal(rows.count(), 60L, "rows");
        Checks.equal(rows.selectExpr("min(offset)").collectAsList().get(0).getLong(0), 40L, "the first offset");
    }

    void restarts() throws Exception {
        String from = checks.topic("spark-from", 3);
        String to = checks.topic("spark-to", 2);
        for (int round = 0; round < 3; round++) {
            checks.write(from, "value", round * ROWS, (round + 1) * ROWS);
            Dataset<Row> rows = stream(from).load().select(col("key"), concat(lit("seen "), col("value")).as("value"));
            toTheEnd(rows.writeStream().format("kafka").option("kafka.bootstrap.servers", checks.bootstrap)
                .option("topic", to).option("checkpointLocation", folder + "/restarts")
                .trigger(Trigger.AvailableNow()).start());
        }
        Checks.equal(checks.values(to), Checks.expected("seen value", 3 * ROWS), "values");
    }

    void counts() throws Exception {
        String topic = checks.topic("spark-counts", 2);
        List<String> counts = new java.util.ArrayList<>();
        for (int round = 0; round < 2; round++) {
            checks.write(topic, "value", round * 350, (round + 1) * 350);
            counts.clear();
            Dataset<Row> rows = stream(topic).load().groupBy(col("key").cast("string").as("key")).count();
            toTheEnd(rows.writeStream().outputMode("complete").option("checkpointLocation", folder + "/counts")
                .foreachBatch((Dataset<Row> batch, Long id) -> {
                    counts.clear();
                    batch.collectAsList().forEach(row -> counts.add(row.getString(0) + " " + row.getLong(1)));
                })
                .trigger(Trigger.AvailableNow()).start());
        }
        List<String> wanted = java.util.stream.IntStream.range(0, 7).mapToObj(key -> "key-" + key + " 100").toList();
        Checks.equal(counts.stream().sorted().toList(), wanted, "counts");
    }

    void committed() throws Exception {
        String topic = checks.topic("spark-committed", 1);
        try (KafkaProducer<String, String> producer = checks.producer(Map.of("transactional.id", topic))) {
            producer.initTransactions();
            for (int transaction = 0; transaction < 6; transaction++) {
                producer.beginTransaction();
                for (int number = 0; number < 10; number++) {
                    producer.send(new ProducerRecord<>(topic, "value-" + (transaction / 2 * 10 + number)));
                }
                producer.flush();
                if (transaction % 2 == 0) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
            }
        }
        String to = checks.topic("spark-committed-to", 1);
        toTheEnd(stream(topic).option("kafka.isolation.level", "read_committed").load().select(col("value"))
            .writeStream().format("kafka").option("kafka.bootstrap.servers", checks.bootstrap).option("topic", to)
            .option("checkpointLocation", folder + "/committed").trigger(Trigger.AvailableNow()).start());
        Checks.equal(checks.values(to), Checks.expected("value", 30), "values");
    }

    void pattern() throws Exception {
        String first = checks.topic("spark-pattern", 1);
        String prefix = first;
        String to = checks.topic("spark-patterns-to", 1);
        checks.write(first, "first", 0, 20);
        for (int round = 0; round < 2; round++) {
            Dataset<Row> rows = spark.readStream().format("kafka").option("kafka.bootstrap.servers", checks.bootstrap)
                .option("subscribePattern", prefix + ".*").option("startingOffsets", "earliest").load();
            toTheEnd(rows.select(col("value")).writeStream().format("kafka")
                .option("kafka.bootstrap.servers", checks.bootstrap).option("topic", to)
                .option("checkpointLocation", folder + "/pattern").trigger(Trigger.AvailableNow()).start());
            if (round == 0) {
                checks.admin.createTopics(List.of(new org.apache.kafka.clients.admin.NewTopic(
                    prefix + "-more", java.util.Optional.of(1), java.util.Optional.empty()))).all().get();
                checks.write(prefix + "-more", "second", 0, 20);
            }
        }
        List<String> wanted = new java.util.ArrayList<>(Checks.expected("first", 20));
        wanted.addAll(Checks.expected("second", 20));
        Checks.equal(checks.values(to), wanted, "values");
    }

    org.apache.spark.sql.DataFrameReader source(String topic) {
        return spark.read().format("kafka").option("kafka.bootstrap.servers", checks.bootstrap).option("subscribe", topic);
    }

    org.apache.spark.sql.streaming.DataStreamReader stream(String topic) {
        // Few offsets at a time, so that a round is several batches.
        return spark.readStream().format("kafka").option("kafka.bootstrap.servers", checks.bootstrap)
            .option("subscribe", topic).option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", 250);
    }

    void toTheEnd(StreamingQuery query) throws Exception {
        if (!query.awaitTermination(Checks.LIMIT_SECONDS * 1000L)) {
            query.stop();
            throw new TimeoutException("the query did not end");
        }
    }
}
