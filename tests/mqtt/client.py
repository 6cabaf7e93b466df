"""What the tests of the MQTT connector ask of a server, by a client that is none of ours: Eclipse Paho.

    client.py PORT USER PASSWORD COMMAND ...

    check                       whether the server lets in
    subscribe CLIENT FILTER [QOS]
                                begins a session that the server keeps, with QoS 2 unless it says otherwise
    forget CLIENT               ends it
    put TOPIC COUNT             messages {"n": 0} … to TOPIC/0 …, with properties
    put-raw TOPIC HEX           one message, its bytes in hexadecimal digits
    put-json TOPIC FROM TO      messages {"k": …, "n": FROM} … as the conformance suite has them
    retain TOPIC TEXT           a message that the server keeps
    drain CLIENT FILTER         takes what waits for the session: a line of JSON for each message

All messages have QoS 2; the server lowers it to what is subscribed to. Whoever drains a session begins it with QoS 1: with
QoS 2 this client would have to remember, from one run to the next, what it has received and the server has not released.
"""

import json
import sys
import time
import uuid

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT, USER, PASSWORD, COMMAND, *ARGUMENTS = sys.argv[1:]
LIMIT_S = 30
FOREVER_S = 0xFFFFFFFF


class Client:
    def __init__(self, client_id="", is_kept=False):
        self.messages = []
        self.done = set()
        self.connected = None
        self.client = mqtt.Client(client_id or f"tests-{uuid.uuid4().hex}", protocol=mqtt.MQTTv5)
        self.client.username_pw_set(USER, PASSWORD)
        self.client.on_message = lambda _client, _data, message: self.messages.append(message)
        self.client.on_publish = lambda _client, _data, mid: self.done.add(mid)
        self.client.on_subscribe = lambda _client, _data, mid, _codes, _properties: self.done.add(mid)
        self.client.on_connect = self.on_connect
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = FOREVER_S if is_kept else 0
        self.client.connect("127.0.0.1", int(PORT), clean_start=not is_kept, properties=properties)
        self.until(lambda: self.connected is not None)
        if self.connected.value != 0:
            sys.exit(f"the server does not let in: {self.connected}")

    def on_connect(self, _client, _data, _flags, code, _properties=None):
        self.connected = code

    def until(self, is_so):
        end = time.monotonic() + LIMIT_S
        while not is_so():
            if self.client.loop(timeout=0.05) not in (mqtt.MQTT_ERR_SUCCESS,):
                sys.exit("the connection is lost")
            if time.monotonic() > end:
                sys.exit("it does not come about")

    def subscribe(self, qos, *filters):
        _, mid = self.client.subscribe([(one, mqtt.SubscribeOptions(qos=qos)) for one in filters])
        self.until(lambda: mid in self.done)

    def publish(self, topic, bodies, properties=None, retain=False):
        mids = {self.client.publish(topic, body, 2, retain, properties).mid for body in bodies}
        self.until(lambda: mids <= self.done)

    def close(self):
        # What comes from now on is not acknowledged any more, and comes again.
        self.client.on_message = None
        self.until(lambda: not self.client.want_write())
        self.client.disconnect()
        while self.client.loop(timeout=0.05) == mqtt.MQTT_ERR_SUCCESS:
            pass


def drain(client_id, filter):
    client = Client(client_id, is_kept=True)
    marker = f"marker/{client_id}"
    client.subscribe(1, filter, marker)
    word = uuid.uuid4().hex.encode()
    client.publish(marker, [word])
    # What was published before the marker comes before it.
    client.until(lambda: any(message.payload == word for message in client.messages))
    client.close()
    for message in client.messages:
        if message.topic == marker:
            continue
        properties = message.properties.json() if message.properties else {}
        print(json.dumps({
            "topic": message.topic,
            "body": message.payload.decode(),
            "retained": bool(message.retain),
            "qos": message.qos,
            "again": bool(message.dup),
            "user": dict(properties.get("UserProperty", [])),
            "content-type": properties.get("ContentType"),
        }))


def main():
    match COMMAND, ARGUMENTS:
        case "check", []:
            Client().close()
        case "subscribe", [client_id, filter, *qos]:
            client = Client(client_id, is_kept=True)
            client.subscribe(int(qos[0]) if qos else 2, filter)
            client.close()
        case "forget", [client_id]:
            Client(client_id).close()
        case "put", [topic, count]:
            client = Client()
            for n in range(int(count)):
                properties = Properties(PacketTypes.PUBLISH)
                properties.ContentType = "application/json"
                properties.UserProperty = ("text", f"number {n}")
                client.publish(f"{topic}/{n}", [json.dumps({"n": n})], properties)
            client.close()
        case "put-raw", [topic, digits]:
            client = Client()
            client.publish(topic, [bytes.fromhex(digits)])
            client.close()
        case "put-json", [topic, begin, end]:
            client = Client()
            client.publish(topic, [json.dumps({"k": n % 10, "n": n}) for n in range(int(begin), int(end))])
            client.close()
        case "retain", [topic, text]:
            client = Client()
            client.publish(topic, [text], retain=True)
            client.close()
        case "drain", [client_id, filter]:
            drain(client_id, filter)
        case other:
            sys.exit(f"there is no command {other}")


main()
