"""moto as a server that checks signatures, and beside it what the suite asks for, which goes through boto3.

    python server.py PORT SECRET

What begins with /suite/ is for the suite; all else is AWS. moto is not made for calls that come together, so those that change
a queue or a stream go one at a time. It keeps nothing over a restart.
"""

import itertools
import json
import sys
import threading
import time
from base64 import b64encode
from collections import OrderedDict
from urllib.parse import parse_qs

import boto3
import waitress
from botocore.config import Config
from moto import settings
from moto.core.exceptions import JsonRESTError
from moto.iam.models import iam_backends
from moto.kinesis.models import KinesisBackend, Stream, kinesis_backends
from moto.kinesis.utils import decompose_shard_iterator
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.responses import S3Response
from moto.sns.models import SNSBackend, sns_backends
from moto.sqs.models import SQSBackend

PORT = int(sys.argv[1])
REGION = "eu-central-1"
ACCOUNT = "123456789012"
USER = "conformance"
KEY_ID = "AKIACONFORMANCE00001"
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
BATCH = 10

lock = threading.RLock()


def one_at_a_time(owner, *names):
    for name in names:
        original = getattr(owner, name)

        def locked(*arguments, original=original, **named):
            with lock:
                return original(*arguments, **named)

        setattr(owner, name, locked)


def receive_waiting(original):
    """Receives with the lock, and waits without it."""

    def receive(self, queue_name, count, wait_seconds_timeout, *rest, **named):
        end = time.monotonic() + wait_seconds_timeout
        while True:
            with lock:
                messages = original(self, queue_name, count, 0, *rest, **named)
            if messages or time.monotonic() >= end:
                return messages
            time.sleep(0.02)

    return receive


SQSBackend.receive_message = receive_waiting(SQSBackend.receive_message)
one_at_a_time(
    SQSBackend, "send_message", "send_message_batch", "delete_message", "delete_message_batch", "change_message_visibility"
)

# That a put is on a condition means nothing where another comes between the look and the put.
one_at_a_time(S3Response, "put_object", "delete_object", "list_objects_v2")


def keeping_records(original):
    """The records of a shard stay there when it is split or merged; moto moves them, or has them twice."""

    def reshard(self, *arguments, **named):
        with lock:
            kept = [(shard, shard.records) for shard in self.shards.values()]
            for shard, _ in kept:
                shard.records = OrderedDict()
            original(self, *arguments, **named)
            for shard, records in kept:
                shard.records = records

    return reshard


def among_open(original):
    """What comes goes to the shard that is open; moto takes the first that ever had the key."""

    def find(self, *arguments, **named):
        with lock:
            every = self.shards
            self.shards = {name: shard for name, shard in every.items() if shard.is_open}
            try:
                return original(self, *arguments, **named)
            finally:
                self.shards = every

    return find


# So often a call to a stream is refused that would pass a moment later.
EXPIRED_EVERY = 23
THROTTLED_EVERY = 31
PARTIAL_EVERY = 5
fetches = itertools.count(1)
puts = itertools.count(1)


def get_records(original):
    """A shard that is closed has an end, and now and then an iterator has expired or too much was asked."""

    def get(self, stream_arn, shard_iterator, limit):
        with lock:
            turn = next(fetches)
            if turn % EXPIRED_EVERY == 0:
                raise JsonRESTError("ExpiredIteratorException", "Iterator expired.")
            if turn % THROTTLED_EVERY == 0:
                raise JsonRESTError("ProvisionedThroughputExceededException", "Rate exceeded for shard.")
            following, records, behind = original(self, stream_arn, shard_iterator, limit)
            name, shard_id, last = decompose_shard_iterator(following)
            shard = self.describe_stream(stream_arn, name).get_shard(shard_id)
            if not shard.is_open and shard.get_max_sequence_number() <= int(last):
                following = None
            return following, records, behind

    return get


def put_records(original):
    """Now and then the first of several records is not taken for now."""

    def put(self, stream_arn, stream_name, records):
        with lock:
            if next(puts) % PARTIAL_EVERY or len(records) < 2:
                return original(self, stream_arn, stream_name, records)
            answer = original(self, stream_arn, stream_name, records[1:])
            failed = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded."}
            answer["Records"].insert(0, failed)
            answer["FailedRecordCount"] += 1
            return answer

    return put


Stream.split_shard = keeping_records(Stream.split_shard)
Stream.merge_shards = keeping_records(Stream.merge_shards)
Stream.get_shard_for_key = among_open(Stream.get_shard_for_key)
KinesisBackend.get_records = get_records(KinesisBackend.get_records)
KinesisBackend.put_records = put_records(KinesisBackend.put_records)
one_at_a_time(KinesisBackend, "list_shards", "get_shard_iterator")
one_at_a_time(SNSBackend, "publish", "publish_batch")


def make_user(secret):
    backend = iam_backends[ACCOUNT]["aws"]
    backend.create_user(REGION, USER)
    backend.put_user_policy(USER, "all", json.dumps(POLICY))
    key = backend.create_access_key(USER)
    backend.access_keys[KEY_ID] = key
    key.access_key_id = KEY_ID
    key.secret_access_key = secret
    return key


key = make_user(sys.argv[2])


class Suite:
    """What the suite does beside the gate."""

    def __init__(self):
        self.clients = {}

    def client(self, service):
        name = (service, key.secret_access_key)
        if name not in self.clients:
            self.clients[name] = boto3.client(
                service,
                region_name=REGION,
                endpoint_url=f"http://127.0.0.1:{PORT}",
                aws_access_key_id=KEY_ID,
                aws_secret_access_key=key.secret_access_key,
                config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
            )
        return self.clients[name]

    def secret(self, arguments, body):
        key.secret_access_key = body.decode()

    def queue(self, arguments, body):
        name = arguments["name"]
        attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        return self.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def queue_url(self, name):
        return self.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]

    def send(self, arguments, body):
        """Numbers, or with a body that."""
        name = arguments["name"]
        url = self.queue_url(name)
        numbers = range(int(arguments.get("from", 0)), int(arguments.get("to", 1)))
        entries = []
        for n in numbers:
            text = body.decode() if body else json.dumps({"k": n % 10, "n": n})
            entry = {"Id": str(n), "MessageBody": text}
            if name.endswith(".fifo"):
                group, once = (str(n % 10), str(n)) if not body else ("0", "poison")
                entry |= {"MessageGroupId": group, "MessageDeduplicationId": once}
            entries.append(entry)
        for first in range(0, len(entries), BATCH):
            sent = self.client("sqs").send_message_batch(QueueUrl=url, Entries=entries[first : first + BATCH])
            assert not sent.get("Failed"), sent

    def drain(self, arguments, body):
        url = self.queue_url(arguments["name"])
        bodies = []
        while True:
            received = self.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=BATCH)
            messages = received.get("Messages", [])
            if not messages:
                return "\n".join(bodies)
            bodies += [message["Body"] for message in messages]
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages)
            ]
            self.client("sqs").delete_message_batch(QueueUrl=url, Entries=entries)

    def stream(self, arguments, body):
        self.client("kinesis").create_stream(StreamName=arguments["name"], ShardCount=2)

    def shards(self, name):
        return self.client("kinesis").list_shards(StreamName=name)["Shards"]

    def put_numbers(self, arguments, body):
        """Numbers, or with a body that."""
        numbers = range(int(arguments.get("from", 0)), int(arguments.get("to", 1)))
        rows = [(str(n % 10), json.dumps({"k": n % 10, "n": n}).encode()) for n in numbers]
        # Thousands of them, for which boto3 takes its time.
        with lock:
            stream = kinesis_backends[ACCOUNT][REGION].streams[arguments["name"]]
            for key, row in [("1", body)] if body else rows:
                stream.put_record(key, None, b64encode(row).decode())

    def reshard(self, arguments, body):
        """Merges two shards, or splits one that is alone."""
        name = arguments["name"]
        opened = [shard for shard in self.shards(name) if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        opened.sort(key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
        if len(opened) > 1:
            first, second = (shard["ShardId"] for shard in opened[:2])
            self.client("kinesis").merge_shards(StreamName=name, ShardToMerge=first, AdjacentShardToMerge=second)
        else:
            half = str(2**127)
            self.client("kinesis").split_shard(
                StreamName=name, ShardToSplit=opened[0]["ShardId"], NewStartingHashKey=half
            )

    def read_stream(self, arguments, body):
        """The rows of all shards, in the order of the shards' ids, which is that of their ages."""
        with lock:
            stream = kinesis_backends[ACCOUNT][REGION].streams[arguments["name"]]
            rows = [record.to_json()["Data"] for shard in stream.shards.values() for record in shard.records.values()]
        return "\n".join(row.decode() for row in rows)

    def topic(self, arguments, body):
        self.client("sns").create_topic(Name=arguments["name"])

    def read_topic(self, arguments, body):
        """What was published, in its order."""
        with lock:
            topic = sns_backends[ACCOUNT][REGION].topics[f"arn:aws:sns:{REGION}:{ACCOUNT}:{arguments['name']}"]
            return "\n".join(sent[1] for sent in topic.sent_notifications)

    def bucket(self, arguments, body):
        self.client("s3").create_bucket(
            Bucket=arguments["name"], CreateBucketConfiguration={"LocationConstraint": REGION}
        )

    def told_bucket(self, arguments, body):
        """A bucket that tells a queue of its name of new objects."""
        name = arguments["name"]
        self.bucket(arguments, body)
        with lock:
            self.client("sqs").create_queue(QueueName=name)
        told = {"QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}", "Events": ["s3:ObjectCreated:*"]}
        self.client("s3").put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"QueueConfigurations": [told]}
        )

    def put_object(self, arguments, body):
        self.client("s3").put_object(Bucket=arguments["name"], Key=arguments["key"], Body=body)

    def read_bucket(self, arguments, body):
        """The lines of all objects that are not hidden, in the order of their keys."""
        name = arguments["name"]
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=name)
        keys = sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))
        keys = [key for key in keys if not key.rsplit("/", 1)[-1].startswith((".", "_"))]
        return "".join(self.client("s3").get_object(Bucket=name, Key=key)["Body"].read().decode() for key in keys)


suite = Suite()
moto = DomainDispatcherApplication(create_backend_app)


def application(environ, start_response):
    environ["RAW_URI"] = environ.get("REQUEST_URI", environ["PATH_INFO"])
    path = environ["PATH_INFO"]
    if not path.startswith("/suite/"):
        return moto(environ, start_response)
    arguments = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    try:
        answer = getattr(suite, path.removeprefix("/suite/"))(arguments, body) or ""
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [answer.encode()]
    except Exception as error:
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [f"{type(error).__name__}: {error}".encode()]


settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
server = waitress.create_server(application, host="127.0.0.1", port=PORT, threads=32)
print("ready", flush=True)
server.run()
