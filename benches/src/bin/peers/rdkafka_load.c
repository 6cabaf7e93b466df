/* Produces to and consumes from Kafka brokers with librdkafka, and prints what it did as one line of JSON.
 *
 *     rdkafka_load produce BOOTSTRAP TOPIC PARTITIONS VALUE_BYTES RECORDS SECONDS
 *     rdkafka_load consume BOOTSTRAP TOPIC PARTITIONS VALUE_BYTES RECORDS SECONDS
 *
 * It stops after RECORDS or SECONDS, whichever comes first. The bootstrap `mock` is the broker inside librdkafka: it
 * keeps nothing, so that what is measured is the client. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rdkafka.h"

/* Records given to the client between two looks at the clock. */
#define ROUND 256
/* Records asked of the consumer's queue at once. */
#define TAKEN 10000

struct arguments {
        const char *bootstrap, *topic;
        int partitions, value_bytes, seconds;
        int64_t records;
};

struct delivered {
        int64_t good, bad;
};

static double now(void) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void fail(const char *what, const char *why) {
        fprintf(stderr, "%s: %s\n", what, why);
        exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
        char reason[256];
        if (rd_kafka_conf_set(conf, key, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
                fail(key, reason);
}

static void on_delivery(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
        struct delivered *delivered = opaque;
        (void)client;
        if (message->err)
                delivered->bad++;
        else
                delivered->good++;
}

static rd_kafka_t *client_of(rd_kafka_type_t type, const struct arguments *arguments, rd_kafka_conf_t *conf) {
        char reason[256];
        if (!strcmp(arguments->bootstrap, "mock"))
                set(conf, "test.mock.num.brokers", "1");
        else
                set(conf, "bootstrap.servers", arguments->bootstrap);
        rd_kafka_t *client = rd_kafka_new(type, conf, reason, sizeof(reason));
        if (!client)
                fail("cannot make a client", reason);
        return client;
}

static int64_t produce(const struct arguments *arguments, double *seconds) {
        struct delivered delivered = {0, 0};
        rd_kafka_conf_t *conf      = rd_kafka_conf_new();
        set(conf, "acks", "all");
        set(conf, "linger.ms", "5");
        set(conf, "batch.size", "1000000");
        set(conf, "queue.buffering.max.messages", "500000");
        rd_kafka_conf_set_opaque(conf, &delivered);
        rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
        rd_kafka_t *client      = client_of(RD_KAFKA_PRODUCER, arguments, conf);
        rd_kafka_topic_t *topic = rd_kafka_topic_new(client, arguments->topic, NULL);
        const struct rd_kafka_metadata *metadata;
        rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, topic, &metadata, 30000);
        if (error)
                fail("no metadata", rd_kafka_err2str(error));
        rd_kafka_metadata_destroy(metadata);
        char *value = malloc((size_t)arguments->value_bytes);
        if (!value)
                fail("no memory", "for one value");
        /* The same bytes in every run, and none that a disk could compress. */
        uint64_t state = 0x9e3779b97f4a7c15u;
        for (int at = 0; at < arguments->value_bytes; at++) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                value[at] = (char)state;
        }
        double start = now(), end = start + arguments->seconds;
        for (int64_t sent = 0; sent < arguments->records; sent++) {
                if (sent % ROUND == 0) {
                        rd_kafka_poll(client, 0);
                        if (now() > end)
                                break;
                }
                int32_t partition = (int32_t)(sent % arguments->partitions);
                while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, value,
                                        (size_t)arguments->value_bytes, NULL, 0, NULL)) {
                        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                                fail("cannot produce", rd_kafka_err2str(rd_kafka_last_error()));
                        rd_kafka_poll(client, 10);
                }
        }
        error = rd_kafka_flush(client, 60000);
        if (error)
                fail("cannot flush", rd_kafka_err2str(error));
        *seconds = now() - start;
        if (delivered.bad)
                fail("records were refused", "see the broker");
        free(value);
        rd_kafka_topic_destroy(topic);
        rd_kafka_destroy(client);
        return delivered.good;
}

static int64_t consume(const struct arguments *arguments, double *seconds) {
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        set(conf, "queued.min.messages", "1000000");
        set(conf, "fetch.wait.max.ms", "100");
        rd_kafka_t *client        = client_of(RD_KAFKA_CONSUMER, arguments, conf);
        rd_kafka_topic_t *topic   = rd_kafka_topic_new(client, arguments->topic, NULL);
        rd_kafka_queue_t *queue   = rd_kafka_queue_new(client);
        rd_kafka_message_t **some = malloc(TAKEN * sizeof(*some));
        if (!some)
                fail("no memory", "for messages");
        double start = now(), end = start + arguments->seconds;
        for (int partition = 0; partition < arguments->partitions; partition++)
                if (rd_kafka_consume_start_queue(topic, partition, RD_KAFKA_OFFSET_BEGINNING, queue))
                        fail("cannot consume", rd_kafka_err2str(rd_kafka_last_error()));
        int64_t read = 0;
        while (read < arguments->records && now() < end) {
                ssize_t count = rd_kafka_consume_batch_queue(queue, 100, some, TAKEN);
                for (ssize_t at = 0; at < count; at++) {
                        if (!some[at]->err)
                                read++;
                        else if (some[at]->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
                                fail("cannot consume", rd_kafka_message_errstr(some[at]));
                        rd_kafka_message_destroy(some[at]);
                }
        }
        *seconds = now() - start;
        for (int partition = 0; partition < arguments->partitions; partition++)
                rd_kafka_consume_stop(topic, partition);
        free(some);
        rd_kafka_queue_destroy(queue);
        rd_kafka_topic_destroy(topic);
        rd_kafka_destroy(client);
        return read;
}

int main(int count, char **words) {
        if (count != 8)
                fail("usage", "rdkafka_load produce|consume BOOTSTRAP TOPIC PARTITIONS VALUE_BYTES RECORDS SECONDS");
        struct arguments arguments = {.bootstrap   = words[2],
                                      .topic       = words[3],
                                      .partitions  = atoi(words[4]),
                                      .value_bytes = atoi(words[5]),
                                      .records     = atoll(words[6]),
                                      .seconds     = atoi(words[7])};
        if (arguments.partitions < 1 || arguments.value_bytes < 1 || arguments.records < 1 || arguments.seconds < 1)
                fail("usage", "partitions, bytes, records and seconds are above 0");
        double seconds = 0;
        int64_t records = 0;
        if (!strcmp(words[1], "produce"))
                records = produce(&arguments, &seconds);
        else if (!strcmp(words[1], "consume"))
                records = consume(&arguments, &seconds);
        else
                fail("usage", "the first word is produce or consume");
        printf("{\"records\":%" PRId64 ",\"seconds\":%.6f}\n", records, seconds);
        return 0;
}
