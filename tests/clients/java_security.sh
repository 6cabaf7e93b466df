#!/usr/bin/env bash
# Kafka's own tools over TLS with SCRAM and tokens: `KAFKA_JARS=FOLDER SECURITY_FOLDER=FOLDER java_security.sh HOST:PORT`.
set -uo pipefail

bootstrap=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
topic="tools-$$-$RANDOM"
user="user-$$-$RANDOM"
passed=0
failed=0

check() {
  local name=$1
  shift
  if "$@" >"$scratch/log" 2>&1; then
    passed=$((passed + 1))
    echo "ok $name"
  else
    failed=$((failed + 1))
    echo "FAILED $name"
    tail -n 25 "$scratch/log"
  fi
}

properties() {
  cat <<END
security.protocol=SASL_SSL
ssl.truststore.type=PEM
ssl.truststore.location=$SECURITY_FOLDER/ca.pem
sasl.mechanism=SCRAM-SHA-512
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="$1" password="$2";
default.api.timeout.ms=20000
request.timeout.ms=15000
END
}
properties admin admin-secret >"$scratch/admin.properties"
properties admin wrong >"$scratch/wrong.properties"
properties "$user" secret >"$scratch/user.properties"
bearer() {
  cat <<END
security.protocol=SASL_SSL
ssl.truststore.type=PEM
ssl.truststore.location=$SECURITY_FOLDER/ca.pem
sasl.mechanism=OAUTHBEARER
sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler
sasl.oauthbearer.token.endpoint.url=file:$1
sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
default.api.timeout.ms=20000
request.timeout.ms=15000
END
}
bearer "$SECURITY_FOLDER/admin.token" >"$scratch/bearer.properties"
# A letter of the signature is another one.
sed 's/\(.\{9\}\)$/AAAA_AAAA/' "$SECURITY_FOLDER/admin.token" >"$scratch/forged.token"
bearer "$scratch/forged.token" >"$scratch/forged.properties"
echo "rootLogger.level=OFF" >"$scratch/log4j2.properties"

java_class() {
  timeout 60 java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=file:$SECURITY_FOLDER/admin.token,file:$scratch/forged.token" \
    "-Dlog4j2.configurationFile=$scratch/log4j2.properties" -cp "$KAFKA_JARS/*" "$@"
}

as() {
  local who=$1 class=$2
  shift 2
  java_class "$class" --bootstrap-server "$bootstrap" --command-config "$scratch/$who.properties" "$@"
}

topics() { as "$1" org.apache.kafka.tools.TopicCommand "${@:2}"; }
configs() { as "$1" kafka.admin.ConfigCommand "${@:2}"; }
acls() { as "$1" org.apache.kafka.tools.AclCommand "${@:2}"; }

create_topic() { topics admin --create --topic "$topic" --partitions 1; }
wrong_password() {
  topics wrong --list
  [ $? -ne 0 ] && grep -q "SCRAM-SHA-512" "$scratch/log"
}
add_user() {
  configs admin --alter --entity-type users --entity-name "$user" \
    --add-config 'SCRAM-SHA-512=[iterations=8192,password=secret]' || return 1
  configs admin --describe --entity-type users --entity-name "$user" | tee "$scratch/got"
  grep -q 'SCRAM-SHA-512=iterations=8192' "$scratch/got"
}
user_sees_nothing() { topics user --list >"$scratch/got" && ! grep -q "$topic" "$scratch/got"; }
add_rules() {
  acls admin --add --allow-principal "User:$user" --operation Read --operation Write --topic "$topic" &&
    acls admin --add --allow-principal "User:$user" --operation Read --group tools- \
      --resource-pattern-type prefixed || return 1
  acls admin --list --principal "User:$user" | tee "$scratch/got"
  grep -q "resourceType=TOPIC, name=$topic, patternType=LITERAL" "$scratch/got" &&
    grep -q "resourceType=GROUP, name=tools-, patternType=PREFIXED" "$scratch/got"
}
round_trip() {
  local who=$1 value="hello-$1"
  echo "$value" | java_class org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$bootstrap" \
    --command-config "$scratch/$who.properties" --topic "$topic" || return 1
  java_class org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$bootstrap" \
    --command-config "$scratch/$who.properties" --topic "$topic" --group "tools-$user-$who" --from-beginning \
    --max-messages "$2" --timeout-ms 20000 >"$scratch/got" || return 1
  grep -qx "$value" "$scratch/got"
}
wrong_token() { ! topics forged --list && grep -q "invalid_token" "$scratch/log"; }
user_may_not_administer() { ! acls user --list && grep -q ClusterAuthorizationException "$scratch/log"; }
remove_rules() {
  acls admin --remove --force --allow-principal "User:$user" --operation Read --operation Write --topic "$topic" ||
    return 1
  acls admin --list --topic "$topic" >"$scratch/got" && ! grep -q "$user" "$scratch/got"
}
remove_user() {
  configs admin --alter --entity-type users --entity-name "$user" --delete-config SCRAM-SHA-512 || return 1
  ! topics user --list
}

check "kafka-topics with a log-in" create_topic
check "a wrong password" wrong_password
check "kafka-configs adds and describes a user" add_user
check "a new user sees no topic" user_sees_nothing
check "kafka-acls adds and lists rules" add_rules
check "console producer and consumer as the user" round_trip user 1
check "console producer and consumer with a token" round_trip bearer 2
check "a forged token" wrong_token
check "a user may not list rules" user_may_not_administer
check "kafka-acls removes rules" remove_rules
check "kafka-configs removes the user" remove_user

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
