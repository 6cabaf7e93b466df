#!/usr/bin/env bash
# The suite of Apache Kafka's own console tools: `KAFKA_JARS=FOLDER CLIENT_CLASSES=FOLDER java_console.sh HOST:PORT`.
#
# The classes are called directly: the shell scripts of Kafka's distribution only set up the class path.
set -uo pipefail

bootstrap=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
run_id="$$-$RANDOM"
topic="console-$run_id"
passed=0
failed=0

check() {
  local name=$1
  shift
  local start=$SECONDS
  if "$@" >"$scratch/log" 2>&1; then
    passed=$((passed + 1))
    echo "ok $name ($((SECONDS - start)) s)"
  else
    failed=$((failed + 1))
    echo "FAILED $name"
    tail -n 25 "$scratch/log"
  fi
}

cat >"$scratch/log4j2.properties" <<'END'
rootLogger.level=ERROR
rootLogger.appenderRef.stderr.ref=STDERR
appender.stderr.type=Console
appender.stderr.name=STDERR
appender.stderr.target=SYSTEM_ERR
END

java=(timeout 60 java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1
  "-Dlog4j2.configurationFile=$scratch/log4j2.properties" -cp "$KAFKA_JARS/*")

tool() {
  local class=$1
  shift
  "${java[@]}" "org.apache.kafka.tools.$class" --bootstrap-server "$bootstrap" "$@"
}

same() { diff "$1" "$2" | head -n 20; return "${PIPESTATUS[0]}"; }

create() {
  tool TopicCommand --create --topic "$topic" --partitions 2 --replication-factor 1 --config retention.ms=3600000 || return 1
  tool TopicCommand --list >"$scratch/got" || return 1
  grep -qx "$topic" "$scratch/got"
}

describe() {
  tool TopicCommand --describe --topic "$topic" | tee "$scratch/got" || return 1
  grep -q "PartitionCount: 2" "$scratch/got" && grep -q "retention.ms=3600000" "$scratch/got" &&
    [ "$(grep -c 'Leader: ' "$scratch/got")" -eq 2 ]
}

# A second call goes on behind the first: the group has committed, so only what is sent now is read.
round_trip() {
  seq 1 500 | sed 's/.*/key-&:value &/' >"$scratch/sent"
  tool ConsoleProducer --topic "$topic" --reader-property parse.key=true --reader-property key.separator=: \
    --compression-codec "$1" <"$scratch/sent" || return 1
  tool consumer.ConsoleConsumer --topic "$topic" --from-beginning --max-messages 500 --timeout-ms 20000 \
    --group "console-group-$run_id" --formatter-property print.key=true --formatter-property key.separator=: \
    >"$scratch/got" || return 1
  sort "$scratch/sent" >"$scratch/wanted"
  sort "$scratch/got" >"$scratch/sorted"
  same "$scratch/wanted" "$scratch/sorted"
}

offsets() {
  tool GetOffsetShell --topic "$topic" >"$scratch/got" || return 1
  [ "$(awk -F: '{ sum += $3 } END { print sum }' "$scratch/got")" -eq "$1" ]
}

groups() {
  tool consumer.group.ConsumerGroupCommand --list >"$scratch/got" || return 1
  grep -qx "console-group-$run_id" "$scratch/got" || return 1
  tool consumer.group.ConsumerGroupCommand --describe --group "console-group-$run_id" | tee "$scratch/got" || return 1
  # Columns: GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …
  [ "$(awk -v topic="$topic" '$2 == topic && $4 == $5 && $6 == 0' "$scratch/got" | wc -l)" -eq 2 ]
}

reset() {
  tool consumer.group.ConsumerGroupCommand --reset-offsets --to-earliest --group "console-group-$run_id" \
    --topic "$topic" --execute || return 1
  tool consumer.group.ConsumerGroupCommand --describe --group "console-group-$run_id" | tee "$scratch/got" || return 1
  [ "$(awk -v topic="$topic" '$2 == topic && $4 == 0' "$scratch/got" | wc -l)" -eq 2 ]
}

# A transaction is left open by a producer that dies, and is then listed, described and aborted.
transactions() {
  local name="console-transactions-$run_id" id="console-id-$run_id"
  tool TopicCommand --create --topic "$name" --partitions 1 --replication-factor 1 || return 1
  timeout 60 java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    "-Dlog4j2.configurationFile=$scratch/log4j2.properties" -cp "$CLIENT_CLASSES:$KAFKA_JARS/*" \
    TransactionChecks "$bootstrap" "$name" "$id" || return 1
  echo plain | tool ConsoleProducer --topic "$name" || return 1
  tool TransactionsCommand list >"$scratch/got" || return 1
  # Columns: TransactionalId, Coordinator, ProducerId, TransactionState.
  [ "$(awk -v id="$id" '$1 == id { print $4 }' "$scratch/got")" = Ongoing ] || { cat "$scratch/got"; return 1; }
  tool TransactionsCommand describe --transactional-id "$id" >"$scratch/got" || return 1
  grep -q "Ongoing" "$scratch/got" && grep -q "$name-0" "$scratch/got" || { cat "$scratch/got"; return 1; }
  tool TransactionsCommand describe-producers --topic "$name" --partition 0 >"$scratch/got" || return 1
  # The last column is where the open transaction begins.
  [ "$(awk '$NF == 0' "$scratch/got" | wc -l)" -eq 1 ] || { cat "$scratch/got"; return 1; }
  read_committed "$name" 3000 && [ ! -s "$scratch/got" ] || return 1
  tool TransactionsCommand abort --topic "$name" --partition 0 --start-offset 0 || return 1
  read_committed "$name" 30000 --max-messages 1 || return 1
  echo plain >"$scratch/wanted"
  same "$scratch/wanted" "$scratch/got"
}

# TOPIC TIME-OUT [OPTION…]
read_committed() {
  local topic=$1 timeout_ms=$2
  shift 2
  # It may end by its time-out, which is an error to it.
  tool consumer.ConsoleConsumer --topic "$topic" --from-beginning --isolation-level read_committed \
    --timeout-ms "$timeout_ms" "$@" >"$scratch/got" 2>"$scratch/errors"
  ! grep -v "TimeoutException" "$scratch/errors" | grep "ERROR"
}

# Two members of the new protocol: the state of the group, its members with their epochs and targets.
consumer_groups() {
  local name="console-consumers-$run_id" members=() result=1 tries
  for tries in 1 2; do
    # For as long as all tries may take.
    timeout 600 "${java[@]:2}" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$bootstrap" \
      --topic "$topic" --group "$name" --command-property group.protocol=consumer >/dev/null 2>&1 &
    members+=($!)
  done
  # Members hear of each other with their heartbeats, every five seconds.
  for tries in {1..30}; do
    if shared "$name"; then
      result=0
      break
    fi
  done
  # Only now: the columns are those of the answer that was right.
  grep -q "CURRENT-EPOCH .*CURRENT-ASSIGNMENT .*TARGET-EPOCH .*TARGET-ASSIGNMENT" "$scratch/got" || result=1
  tool consumer.group.ConsumerGroupCommand --list --type consumer --state | tee "$scratch/listed" || result=1
  grep -q "^$name .*Consumer .*Stable" "$scratch/listed" || result=1
  kill "${members[@]}"
  wait "${members[@]}"
  return "$result"
}

# Whether the group is stable and each of two members has one partition, as it is meant to.
shared() {
  tool consumer.group.ConsumerGroupCommand --describe --group "$1" --state | tee "$scratch/got" || return 1
  grep -q "uniform .*Stable .* 2" "$scratch/got" || return 1
  tool consumer.group.ConsumerGroupCommand --describe --group "$1" --members --verbose | tee "$scratch/got" || return 1
  # Columns: GROUP CONSUMER-ID HOST CLIENT-ID #PARTITIONS CURRENT-EPOCH CURRENT-ASSIGNMENT TARGET-EPOCH TARGET-ASSIGNMENT
  [ "$(awk '$5 == 1 && $6 == $8 && $7 == $9' "$scratch/got" | wc -l)" -eq 2 ]
}

# A queue: read by the console's share consumer, listed, described, set back and deleted.
share_group() {
  local group="console-share-$run_id" name="console-share-topic-$run_id"
  tool TopicCommand --create --topic "$name" --partitions 1 --replication-factor 1 || return 1
  seq 1 20 >"$scratch/sent"
  tool ConsoleProducer --topic "$name" <"$scratch/sent" || return 1
  configs --alter --entity-type groups --entity-name "$group" --add-config share.auto.offset.reset=earliest ||
    return 1
  tool consumer.ConsoleShareConsumer --topic "$name" --group "$group" --max-messages 20 --timeout-ms 20000 \
    >"$scratch/got" || return 1
  same "$scratch/sent" "$scratch/got" || return 1
  tool consumer.group.ShareGroupCommand --list >"$scratch/got" || return 1
  grep -q "$group" "$scratch/got" || { cat "$scratch/got"; return 1; }
  tool consumer.group.ShareGroupCommand --describe --group "$group" --state | tee "$scratch/got" || return 1
  grep -q "Empty" "$scratch/got" || return 1
  tool consumer.group.ShareGroupCommand --reset-offsets --to-earliest --group "$group" --topic "$name" --execute ||
    return 1
  # Columns: GROUP TOPIC PARTITION START-OFFSET LAG.
  tool consumer.group.ShareGroupCommand --describe --group "$group" | tee "$scratch/got" || return 1
  [ "$(awk -v topic="$name" '$2 == topic && $4 == 0 && $5 == 20' "$scratch/got" | wc -l)" -eq 1 ] || return 1
  tool consumer.group.ShareGroupCommand --delete-offsets --group "$group" --topic "$name" || return 1
  tool consumer.group.ShareGroupCommand --delete --group "$group"
}

configs() { "${java[@]}" kafka.admin.ConfigCommand --bootstrap-server "$bootstrap" "$@"; }

# Set, described and removed for each kind of entity; a producer above its quota sees that it is slowed down.
quotas() {
  local client="console-quota-$run_id"
  configs --alter --entity-type clients --entity-name "$client" --add-config producer_byte_rate=100000 || return 1
  configs --alter --entity-type users --entity-name "$client" --entity-type clients --entity-default \
    --add-config consumer_byte_rate=2048,request_percentage=150 || return 1
  configs --alter --entity-type users --entity-default --add-config controller_mutation_rate=50.5 || return 1
  configs --alter --entity-type ips --entity-name 192.0.2.7 --add-config connection_creation_rate=9 || return 1
  {
    configs --describe --entity-type clients --entity-name "$client"
    configs --describe --entity-type users --entity-name "$client" --entity-type clients --entity-default
    configs --describe --entity-type users --entity-default
    configs --describe --entity-type ips --entity-name 192.0.2.7
  } | tee "$scratch/got"
  local value
  for value in producer_byte_rate=100000.0 consumer_byte_rate=2048.0 request_percentage=150.0 \
    controller_mutation_rate=50.5 connection_creation_rate=9.0; do
    grep -q "$value" "$scratch/got" || return 1
  done
  # The window lets ten seconds' worth pass at once: of 1.5 MB a third waits.
  tool ProducerPerformance --topic "$topic" --num-records 1500 --record-size 1000 --throughput -1 \
    --command-property "client.id=$client" --print-metrics >"$scratch/got" || return 1
  grep "produce-throttle-time-max" "$scratch/got"
  awk '/produce-throttle-time-max/ && $NF + 0 >= 100 { found = 1 } END { exit !found }' "$scratch/got" || return 1
  configs --alter --entity-type clients --entity-name "$client" --delete-config producer_byte_rate || return 1
  configs --alter --entity-type users --entity-name "$client" --entity-type clients --entity-default \
    --delete-config consumer_byte_rate,request_percentage || return 1
  configs --alter --entity-type users --entity-default --delete-config controller_mutation_rate || return 1
  configs --alter --entity-type ips --entity-name 192.0.2.7 --delete-config connection_creation_rate || return 1
  configs --describe --entity-type users --entity-type clients >"$scratch/got" || return 1
  ! grep "_rate=" "$scratch/got"
}

# Settings of the node that change while it runs, for this node and for all, and one that does not; a topic that says
# nothing follows, and one that does keeps its own.
node_settings() {
  local all=max.connections=5000,log.segment.bytes=536870912
  configs --alter --entity-type brokers --entity-default --add-config "$all" || return 1
  configs --alter --entity-type brokers --entity-name 1 --add-config max.connections=4000 || return 1
  configs --describe --entity-type brokers --entity-name 1 | tee "$scratch/got" || return 1
  local said="DYNAMIC_BROKER_CONFIG:max.connections=4000, DYNAMIC_DEFAULT_BROKER_CONFIG:max.connections=5000"
  grep -q "max.connections=4000 .*synonyms={$said" "$scratch/got" || return 1
  configs --describe --all --entity-type topics --entity-name "$topic" >"$scratch/got" || return 1
  said="DYNAMIC_DEFAULT_BROKER_CONFIG:log.segment.bytes=536870912, DEFAULT_CONFIG:log.segment.bytes=1073741824"
  grep "segment.bytes" "$scratch/got"
  grep -q "^  segment.bytes=536870912 .*synonyms={$said}" "$scratch/got" || return 1
  configs --alter --entity-type topics --entity-name "$topic" --add-config segment.bytes=268435456 || return 1
  configs --describe --entity-type topics --entity-name "$topic" | tee "$scratch/got" || return 1
  said="DYNAMIC_TOPIC_CONFIG:segment.bytes=268435456, $said"
  grep -q "^  segment.bytes=268435456 .*synonyms={$said}" "$scratch/got" || return 1
  configs --alter --entity-type topics --entity-name "$topic" --delete-config segment.bytes || return 1
  configs --alter --entity-type brokers --entity-name 1 --delete-config max.connections || return 1
  configs --alter --entity-type brokers --entity-default --delete-config max.connections,log.segment.bytes || return 1
  ! configs --alter --entity-type brokers --entity-name 1 --add-config queued.max.requests=9
}

delete_records() {
  printf '{"version":1,"partitions":[{"topic":"%s","partition":0,"offset":10}]}' "$topic" >"$scratch/offsets.json"
  tool DeleteRecordsCommand --offset-json-file "$scratch/offsets.json" || return 1
  tool GetOffsetShell --topic "$topic" --partitions 0 --time earliest >"$scratch/got" || return 1
  echo "$topic:0:10" >"$scratch/wanted"
  same "$scratch/wanted" "$scratch/got"
}

delete() {
  tool consumer.group.ConsumerGroupCommand --delete --group "console-group-$run_id" || return 1
  tool TopicCommand --delete --topic "$topic" || return 1
  # Kafka's controller knows a change a moment before the broker that clients ask.
  local tries
  for tries in 1 2 3 4 5; do
    tool TopicCommand --list >"$scratch/got" || return 1
    grep -qx "$topic" "$scratch/got" || return 0
  done
  return 1
}

check "create and list topics" create
check "describe a topic" describe
check "produce and consume, none" round_trip none
check "produce and consume, zstd" round_trip zstd
check "offsets of both partitions" offsets 1000
check "list and describe groups" groups
check "reset a group's offsets" reset
check "members of the new group protocol" consumer_groups
check "list, describe and abort a transaction" transactions
check "read, list, describe, reset and delete a share group" share_group
check "quotas of users, clients and addresses" quotas
check "settings of the node" node_settings
check "delete records" delete_records
check "delete a group and a topic" delete
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
