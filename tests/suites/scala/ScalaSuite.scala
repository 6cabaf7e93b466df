// Apache Pekko's Kafka connectors, a client in Scala: `ScalaSuite HOST:PORT`.

import java.util.concurrent.atomic.AtomicInteger
import org.apache.kafka.clients.consumer.ConsumerConfig
import org.apache.kafka.clients.producer.ProducerRecord
import org.apache.kafka.common.TopicPartition
import org.apache.kafka.common.serialization.{StringDeserializer, StringSerializer}
import org.apache.pekko.Done
import org.apache.pekko.actor.ActorSystem
import org.apache.pekko.kafka.*
import org.apache.pekko.kafka.ConsumerMessage.PartitionOffset
import org.apache.pekko.kafka.scaladsl.{Committer, Consumer, Producer, Transactional}
import org.apache.pekko.stream.scaladsl.{Keep, Sink, Source}
import scala.concurrent.duration.*
import scala.concurrent.{Await, Future}
import scala.jdk.CollectionConverters.*

object ScalaSuite:
  private val Rows = 500
  private val Limit = Checks.LIMIT_SECONDS.seconds

  def main(arguments: Array[String]): Unit =
    val checks = Checks(arguments(0))
    val system = ActorSystem("suite")
    ScalaSuite(checks)(using system).run()
    // The actors of streams that were stopped take their time to end.
    System.exit(0)

class ScalaSuite(checks: Checks)(using system: ActorSystem):
  import ScalaSuite.*
  import system.dispatcher

  private val producers =
    ProducerSettings(system, StringSerializer(), StringSerializer()).withBootstrapServers(checks.bootstrap)

  private def consumers(group: String) =
    ConsumerSettings(system, StringDeserializer(), StringDeserializer())
      .withBootstrapServers(checks.bootstrap)
      .withGroupId(group)
      .withProperty(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest")
      .withStopTimeout(0.seconds)

  def run(): Unit =
    checks.check("a stream is written and read by assignment", () => assigned())
    checks.check("a group's offsets are committed, and the next one goes on there", () => committed())
    checks.check("two members of a group share the partitions", () => shared())
    checks.check("a stream per partition", () => partitioned())
    checks.check("transactions from topic to topic, stopped and started", () => transactional())

  private def write(topic: String, from: Int, until: Int): Unit =
    val records = Source(from until until).map(number => ProducerRecord[String, String](topic, s"value-$number"))
    Await.result(records.runWith(Producer.plainSink(producers)), Limit)

  private def expected(until: Int) = Checks.expected("value", until).asScala.toSeq

  private def assigned(): Unit =
    val topic = checks.topic("scala-assigned", 1)
    write(topic, 0, Rows)
    val source = Consumer.plainSource(
      consumers("none"),
      Subscriptions.assignmentWithOffset(TopicPartition(topic, 0), 100)
    )
    val read = Await.result(source.take(Rows - 100).runWith(Sink.seq), Limit)
    Checks.equal(read.map(_.offset), (100L until Rows), "offsets")
    Checks.equal(checks.values(topic).asScala.toSeq, expected(Rows), "values")

  /** Reads so many values in the group, commits each, and stops. */
  private def readCommitted(group: String, topic: String, count: Int): Seq[String] =
    val seen = java.util.concurrent.ConcurrentLinkedQueue[String]()
    val control = Consumer
      .committableSource(consumers(group), Subscriptions.topics(topic))
      .map { message => seen.add(message.record.value); message.committableOffset }
      .toMat(Committer.sink(CommitterSettings(system).withMaxInterval(100.millis)))(Consumer.DrainingControl.apply)
      .run()
    Checks.until("values of the group", () => seen.size >= count)
    Await.result(control.drainAndShutdown(), Limit)
    seen.asScala.toSeq

  private def committed(): Unit =
    val topic = checks.topic("scala-committed", 2)
    val group = s"group-$topic"
    write(topic, 0, Rows)
    val first = readCommitted(group, topic, Rows)
    Checks.equal(checks.committed(group, topic), Rows.toLong, "the committed offsets")
    write(topic, Rows, 2 * Rows)
    val second = readCommitted(group, topic, Rows)
    Checks.equal((first ++ second).sorted, expected(2 * Rows), "values")

  private def shared(): Unit =
    val topic = checks.topic("scala-shared", 4)
    val group = s"group-$topic"
    val assigned = List.fill(2)(java.util.concurrent.ConcurrentHashMap.newKeySet[Integer]())
    val count = AtomicInteger()
    val members = assigned.map { mine =>
      Consumer
        .plainPartitionedSource(consumers(group), Subscriptions.topics(topic))
        .flatMapMerge(4, (partition, source) => source.map { record => mine.add(partition.partition); record })
        .toMat(Sink.foreach(_ => count.incrementAndGet()))(Keep.left)
        .run()
    }
    // Both have joined when each has read something of a partition of its own.
    var written = 0
    Checks.until("both members read", () => {
      write(topic, written, written + 40)
      written += 40
      assigned.forall(!_.isEmpty)
    })
    members.foreach(member => Await.result(member.shutdown(), Limit))

  private def partitioned(): Unit =
    val topic = checks.topic("scala-partitioned", 3)
    checks.write(topic, "value", 0, 3 * Rows)
    val seen = java.util.concurrent.ConcurrentLinkedQueue[String]()
    val control = Consumer
      .plainPartitionedSource(consumers(s"group-$topic"), Subscriptions.topics(topic))
      .mapAsyncUnordered(3)((_, source) => source.runForeach(record => seen.add(record.value)))
      .toMat(Sink.ignore)(Consumer.DrainingControl.apply)
      .run()
    Checks.until("all values", () => seen.size >= 3 * Rows)
    Await.result(control.drainAndShutdown(), Limit)
    Checks.equal(seen.asScala.toSeq.sorted, expected(3 * Rows), "values")

  private def transactional(): Unit =
    val from = checks.topic("scala-from", 2)
    val to = checks.topic("scala-to", 1)
    val group = s"group-$from"
    for round <- 1 to 2 do
      write(from, (round - 1) * Rows, round * Rows)
      val control = Transactional
        .source(consumers(group), Subscriptions.topics(from))
        .map(message => ProducerMessage.single(ProducerRecord[String, String](to, message.record.value), message.partitionOffset))
        .toMat(Transactional.sink(producers.withEosCommitInterval(50.millis), s"transactional-$from"))(
          Consumer.DrainingControl.apply
        )
        .run()
      Checks.until("values of the round", () => checks.values(to).size >= round * Rows)
      Await.result(control.drainAndShutdown(), Limit)
      Checks.equal(checks.committed(group, from) >= round * Rows, true, "the committed offsets reach the end")
    Checks.equal(checks.values(to).asScala.toSeq, expected(2 * Rows), "values")
