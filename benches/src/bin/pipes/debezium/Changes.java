import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.format.Json;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/** Debezium's engine: the rows of a PostgreSQL table and their changes, each batch sent to a topic and then marked. */
public class Changes {
    public static void main(String[] arguments) throws Exception {
        String port = arguments[0], user = arguments[1], kafka = arguments[2], topic = arguments[3], folder = arguments[4];
        Properties producing = new Properties();
        producing.put("bootstrap.servers", kafka);
        producing.put("acks", "all");
        producing.put("linger.ms", "5");
        producing.put("batch.size", "500000");
        KafkaProducer<String, String> producer = new KafkaProducer<>(producing, new StringSerializer(), new StringSerializer());
        Properties properties = new Properties();
        properties.put("name", "bench");
        properties.put("connector.class", "io.debezium.connector.postgresql.PostgresConnector");
        properties.put("offset.storage", "org.apache.kafka.connect.storage.FileOffsetBackingStore");
        properties.put("offset.storage.file.filename", folder + "/offsets");
        properties.put("offset.flush.interval.ms", "1000");
        properties.put("topic.prefix", "bench");
        properties.put("database.hostname", "127.0.0.1");
        properties.put("database.port", port);
        // Its password is its name.
        properties.put("database.user", user);
        properties.put("database.password", user);
        properties.put("database.dbname", "shop");
        properties.put("table.include.list", "public.bench_orders");
        properties.put("plugin.name", "pgoutput");
        properties.put("slot.name", "bench_debezium");
        properties.put("publication.name", "bench_debezium");
        properties.put("publication.autocreate.mode", "filtered");
        properties.put("decimal.handling.mode", "string");
        properties.put("max.batch.size", "8192");
        properties.put("max.queue.size", "32768");
        properties.put("key.converter.schemas.enable", "false");
        properties.put("value.converter.schemas.enable", "false");
        DebeziumEngine<ChangeEvent<String, String>> engine = DebeziumEngine.create(Json.class)
            .using(properties)
            .notifying((events, committer) -> {
                List<Future<RecordMetadata>> sent = new ArrayList<>(events.size());
                for (ChangeEvent<String, String> event : events) {
                    sent.add(producer.send(new ProducerRecord<>(topic, event.key(), event.value())));
                }
                for (int index = 0; index < sent.size(); index++) {
                    try {
                        sent.get(index).get();
                    } catch (java.util.concurrent.ExecutionException failure) {
                        throw new RuntimeException(failure);
                    }
                    committer.markProcessed(events.get(index));
                }
                committer.markBatchFinished();
            })
            .using((succeeded, message, failure) -> {
                if (!succeeded) {
                    System.err.println(message + ": " + failure);
                    System.exit(1);
                }
            })
            .build();
        engine.run();
    }
}
