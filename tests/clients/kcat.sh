#!/usr/bin/env bash
# The suite of kcat, the command-line client over librdkafka: `kcat.sh HOST:PORT`.
#
# kcat cannot create topics; the first record to a new name does, as on a Kafka with its default configuration.
set -uo pipefail

bootstrap=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
run_id="$$-$RANDOM"
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
    tail -n 15 "$scratch/log"
  fi
}

kc() { timeout 60 kcat -q -b "$bootstrap" "$@"; }

# Fails with the difference unless both files are equal.
same() { diff "$1" "$2" | head -n 20; return "${PIPESTATUS[0]}"; }

produce_lines() { seq 1 "$1" | sed 's/.*/key-&:value &/'; }

metadata() {
  local topic="kcat-meta-$run_id"
  echo one | kc -P -t "$topic" || return 1
  kc -L -J >"$scratch/metadata.json" || return 1
  grep -q "\"topic\":\"$topic\",\"partitions\":\[{\"partition\":0,\"leader\":" "$scratch/metadata.json"
}

round_trip() {
  local codec=$1 topic="kcat-$1-$run_id"
  produce_lines 2000 >"$scratch/sent"
  kc -P -t "$topic" -z "$codec" -K : <"$scratch/sent" || return 1
  kc -C -t "$topic" -e -o beginning -f '%k:%s\n' >"$scratch/got" || return 1
  same "$scratch/sent" "$scratch/got"
}

headers() {
  local topic="kcat-headers-$run_id"
  echo 'body' | kc -P -t "$topic" -k key -H trace=abc -H trace=def -H empty= || return 1
  kc -C -t "$topic" -e -o beginning -f '%k|%s|%h|%p|%o\n' >"$scratch/got" || return 1
  echo 'key|body|trace=abc,trace=def,empty=|0|0' >"$scratch/wanted"
  same "$scratch/wanted" "$scratch/got"
}

null_value() {
  local topic="kcat-null-$run_id"
  echo 'gone:' | kc -P -t "$topic" -K : -Z || return 1
  kc -C -t "$topic" -e -o beginning -f '%k|%S\n' >"$scratch/got" || return 1
  echo 'gone|-1' >"$scratch/wanted"
  same "$scratch/wanted" "$scratch/got"
}

offsets() {
  local topic="kcat-offsets-$run_id"
  produce_lines 100 | kc -P -t "$topic" -K : -z lz4 || return 1
  kc -C -t "$topic" -e -o 97 -f '%o %s\n' >"$scratch/got" || return 1
  printf '97 value 98\n98 value 99\n99 value 100\n' >"$scratch/wanted"
  same "$scratch/wanted" "$scratch/got" || return 1
  kc -C -t "$topic" -e -o -2 -f '%o\n' >"$scratch/got" || return 1
  printf '98\n99\n' >"$scratch/wanted"
  same "$scratch/wanted" "$scratch/got" || return 1
  kc -C -t "$topic" -o 10 -c 3 -f '%o\n' >"$scratch/got" || return 1
  printf '10\n11\n12\n' >"$scratch/wanted"
  same "$scratch/wanted" "$scratch/got" || return 1
  kc -Q -t "$topic:0:0" >"$scratch/got" || return 1
  echo "$topic [0] offset 0" >"$scratch/wanted"
  same "$scratch/wanted" "$scratch/got"
}

idempotent() {
  local topic="kcat-idempotent-$run_id"
  produce_lines 3000 >"$scratch/sent"
  kc -P -t "$topic" -K : -X enable.idempotence=true -X batch.num.messages=100 <"$scratch/sent" || return 1
  kc -C -t "$topic" -e -o beginning -f '%k:%s\n' >"$scratch/got" || return 1
  same "$scratch/sent" "$scratch/got"
}

group() {
  local topic="kcat-group-$run_id" group="kcat-members-$run_id"
  local options=(-X auto.offset.reset=earliest -X session.timeout.ms=6000 -f '%o\n')
  produce_lines 30 | kc -P -t "$topic" -K : || return 1
  # The first member reads ten records and commits them as it leaves; the second goes on from there.
  kc -G "$group" "${options[@]}" -c 10 "$topic" >"$scratch/first" || return 1
  kc -G "$group" "${options[@]}" -c 20 "$topic" >"$scratch/second" || return 1
  seq 0 29 >"$scratch/wanted"
  cat "$scratch/first" "$scratch/second" >"$scratch/got"
  same "$scratch/wanted" "$scratch/got"
}

binary() {
  local topic="kcat-binary-$run_id"
  head -c 700000 /dev/urandom >"$scratch/sent"
  kc -P -t "$topic" -z none "$scratch/sent" || return 1
  kc -C -t "$topic" -o beginning -c 1 -f '%s' >"$scratch/got" || return 1
  cmp "$scratch/sent" "$scratch/got"
}

transactions() {
  local topic="kcat-transactions-$run_id"
  # One transaction for all lines; kcat commits it at the end of its input.
  produce_lines 300 >"$scratch/sent"
  kc -P -t "$topic" -K : -X transactional.id="kcat-$run_id" -X batch.num.messages=50 <"$scratch/sent" || return 1
  kc -P -t "$topic" -K : -X transactional.id="kcat-$run_id" <"$scratch/sent" || return 1
  kc -C -t "$topic" -e -o beginning -X isolation.level=read_committed -f '%k:%s\n' >"$scratch/got" || return 1
  cat "$scratch/sent" "$scratch/sent" >"$scratch/wanted"
  same "$scratch/wanted" "$scratch/got" || return 1
  # Markers take offsets, and are no records.
  kc -C -t "$topic" -e -o 299 -c 2 -f '%o\n' >"$scratch/got" || return 1
  printf '299\n301\n' >"$scratch/wanted"
  same "$scratch/wanted" "$scratch/got"
}

unknown_topic() {
  # Must end with the broker's error, neither hang nor come up empty.
  ! kc -C -t "kcat-unknown-$run_id" -e -X allow.auto.create.topics=false 2>"$scratch/errors" || return 1
  grep -q "Unknown topic or partition" "$scratch/errors"
}

check "metadata" metadata
for codec in none gzip snappy lz4 zstd; do
  check "produce and consume, $codec" round_trip "$codec"
done
check "headers" headers
check "null value" null_value
check "offsets" offsets
check "idempotent producer" idempotent
check "group" group
check "a large binary record" binary
check "transactions" transactions
check "unknown topic" unknown_topic
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
