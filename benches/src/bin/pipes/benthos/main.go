// Benthos as its users have it: the open engine of github.com/redpanda-data/benthos with its own configuration files, and
// components over the client libraries that its connectors use (franz-go, amqp091-go, pgx, parquet-go). The connectors
// themselves are not in the engine's module; these do what they do, and no more.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/parquet-go/parquet-go"
	amqp "github.com/rabbitmq/amqp091-go"
	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	must(service.RegisterBatchInput("kafka", texts("address", "topic", "group"), newKafkaInput))
	must(service.RegisterInput("amqp", texts("url", "queue", "group"), newAmqpInput))
	must(service.RegisterBatchOutput("kafka", batched("address", "topic"), newKafkaOutput))
	must(service.RegisterBatchOutput("postgres", batched("url", "table"), newPostgresOutput))
	must(service.RegisterBatchProcessor("parquet", service.NewConfigSpec(), newParquet))
	service.RunCLI(context.Background())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func texts(names ...string) *service.ConfigSpec {
	spec := service.NewConfigSpec()
	for _, name := range names {
		spec = spec.Field(service.NewStringField(name).Default(""))
	}
	return spec
}

func batched(names ...string) *service.ConfigSpec {
	return texts(names...).Field(service.NewBatchPolicyField("batching")).Field(service.NewOutputMaxInFlightField())
}

// text is a field that the specification has, so that it cannot be missing.
func text(conf *service.ParsedConfig, name string) string {
	value, err := conf.FieldString(name)
	must(err)
	return value
}

// kafkaInput reads a topic in a group; what was delivered is committed.
type kafkaInput struct {
	options []kgo.Opt
	client  *kgo.Client
}

func newKafkaInput(conf *service.ParsedConfig, _ *service.Resources) (service.BatchInput, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(text(conf, "address")),
		kgo.ConsumeTopics(text(conf, "topic")),
		kgo.ConsumerGroup(text(conf, "group")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(200 * time.Millisecond),
	}
	return service.AutoRetryNacksBatched(&kafkaInput{options: options}), nil
}

func (k *kafkaInput) Connect(context.Context) (err error) {
	k.client, err = kgo.NewClient(k.options...)
	return err
}

func (k *kafkaInput) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	fetches := k.client.PollRecords(ctx, 5000)
	if err := fetches.Err(); err != nil {
		return nil, nil, err
	}
	records := fetches.Records()
	batch := make(service.MessageBatch, 0, len(records))
	for _, record := range records {
		batch = append(batch, service.NewMessage(record.Value))
	}
	return batch, func(context.Context, error) error {
		k.client.MarkCommitRecords(records...)
		return nil
	}, nil
}

func (k *kafkaInput) Close(context.Context) error {
	if k.client != nil {
		k.client.Close()
	}
	return nil
}

// amqpInput reads a queue; a message is acknowledged when it was delivered.
type amqpInput struct {
	url, queue string
	connection *amqp.Connection
	messages   <-chan amqp.Delivery
}

func newAmqpInput(conf *service.ParsedConfig, _ *service.Resources) (service.Input, error) {
	return service.AutoRetryNacks(&amqpInput{url: text(conf, "url"), queue: text(conf, "queue")}), nil
}

func (a *amqpInput) Connect(context.Context) (err error) {
	if a.connection, err = amqp.Dial(a.url); err != nil {
		return err
	}
	channel, err := a.connection.Channel()
	if err != nil {
		return err
	}
	if err = channel.Qos(5000, 0, false); err != nil {
		return err
	}
	a.messages, err = channel.Consume(a.queue, "", false, false, false, false, nil)
	return err
}

func (a *amqpInput) Read(ctx context.Context) (*service.Message, service.AckFunc, error) {
	select {
	case delivery, open := <-a.messages:
		if !open {
			return nil, nil, service.ErrNotConnected
		}
		return service.NewMessage(delivery.Body), func(context.Context, error) error { return delivery.Ack(false) }, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

func (a *amqpInput) Close(context.Context) error {
	if a.connection != nil {
		return a.connection.Close()
	}
	return nil
}

// kafkaOutput writes batches to a topic, each acknowledged by all replicas.
type kafkaOutput struct {
	address, topic string
	client         *kgo.Client
}

func newKafkaOutput(conf *service.ParsedConfig, _ *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
	return output(conf, &kafkaOutput{address: text(conf, "address"), topic: text(conf, "topic")})
}

func output(conf *service.ParsedConfig, out service.BatchOutput) (service.BatchOutput, service.BatchPolicy, int, error) {
	policy, err := conf.FieldBatchPolicy("batching")
	if err != nil {
		return nil, policy, 0, err
	}
	inFlight, err := conf.FieldMaxInFlight()
	return out, policy, inFlight, err
}

func (k *kafkaOutput) Connect(context.Context) (err error) {
	k.client, err = kgo.NewClient(kgo.SeedBrokers(k.address), kgo.DefaultProduceTopic(k.topic))
	return err
}

func (k *kafkaOutput) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	records := make([]*kgo.Record, 0, len(batch))
	for _, message := range batch {
		value, err := message.AsBytes()
		if err != nil {
			return err
		}
		records = append(records, &kgo.Record{Value: value})
	}
	return k.client.ProduceSync(ctx, records...).FirstErr()
}

func (k *kafkaOutput) Close(context.Context) error {
	if k.client != nil {
		k.client.Close()
	}
	return nil
}

// order is the row of all flows.
type order struct {
	ID      int64   `json:"id" parquet:"id"`
	Shop    string  `json:"shop" parquet:"shop"`
	Price   float64 `json:"price" parquet:"price"`
	Ordered string  `json:"ordered" parquet:"ordered"`
}

func orders(batch service.MessageBatch) ([]order, error) {
	rows := make([]order, len(batch))
	for index, message := range batch {
		value, err := message.AsBytes()
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(value, &rows[index]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// postgresOutput inserts a batch with one statement of many rows.
type postgresOutput struct {
	url, table string
	pool       *pgxpool.Pool
}

func newPostgresOutput(conf *service.ParsedConfig, _ *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
	return output(conf, &postgresOutput{url: text(conf, "url"), table: text(conf, "table")})
}

func (p *postgresOutput) Connect(ctx context.Context) (err error) {
	p.pool, err = pgxpool.New(ctx, p.url)
	return err
}

func (p *postgresOutput) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	rows, err := orders(batch)
	if err != nil {
		return err
	}
	var statement strings.Builder
	fmt.Fprintf(&statement, "INSERT INTO %s (id, shop, price, ordered) VALUES ", p.table)
	values := make([]any, 0, 4*len(rows))
	for index, row := range rows {
		if index > 0 {
			statement.WriteByte(',')
		}
		fmt.Fprintf(&statement, "($%d,$%d,$%d,$%d::text::timestamp)", 4*index+1, 4*index+2, 4*index+3, 4*index+4)
		values = append(values, row.ID, row.Shop, row.Price, row.Ordered)
	}
	_, err = p.pool.Exec(ctx, statement.String(), values...)
	return err
}

func (p *postgresOutput) Close(context.Context) error {
	if p.pool != nil {
		p.pool.Close()
	}
	return nil
}

// toParquet makes one file of a batch.
type toParquet struct{}

func newParquet(*service.ParsedConfig, *service.Resources) (service.BatchProcessor, error) {
	return toParquet{}, nil
}

func (toParquet) ProcessBatch(_ context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	rows, err := orders(batch)
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	writer := parquet.NewGenericWriter[order](&file, parquet.Compression(&parquet.Snappy))
	if _, err := writer.Write(rows); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	// One message that stands for all of the batch.
	whole := batch[0].Copy()
	whole.SetBytes(file.Bytes())
	return []service.MessageBatch{{whole}}, nil
}

func (toParquet) Close(context.Context) error { return nil }
