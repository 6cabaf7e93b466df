"""What the tests of the Redis connector ask of a server, by a client that is none of ours: redis-py.

    client.py PORT USER PASSWORD COMMAND ...

    check                       whether the server lets in
    put NAME COUNT              entries with the fields body={"n": 0} and text="number 0" …
    put-fields NAME FIELD=VALUE ...
    put-raw NAME HEX            one entry, its body in hexadecimal digits
    put-json NAME FROM TO       entries {"k": …, "n": FROM} … as the conformance suite has them
    read NAME                   reads all entries: a line of JSON for each
    set NAME VALUE              a key that is no stream
    trim NAME COUNT             leaves the last entries alone
    delete NAME
    leave NAME GROUP COUNT      has another consumer read entries, which it leaves unacknowledged
    pending NAME GROUP          how many entries a group has delivered and not acknowledged, and not delivered
    user NAME PASSWORD RULE ...
    about KEY                   what a key holds
    meet PORT:BUS-PORT ...      makes a cluster of this server and others, which share the slots
    slot KEY                    the slot of a key
"""

import json
import sys
import time

import redis

PORT, USER, PASSWORD, COMMAND, *ARGUMENTS = sys.argv[1:]
LIMIT_S = 30
AT_ONCE = 500


def connect(port):
    return redis.Redis(port=int(port), username=USER, password=PASSWORD, socket_timeout=LIMIT_S)


def put(server, name, entries):
    for first in range(0, len(entries), AT_ONCE):
        pipeline = server.pipeline(transaction=False)
        for fields in entries[first : first + AT_ONCE]:
            pipeline.xadd(name, fields)
        pipeline.execute()


def meet(server, others):
    servers = [server, *(connect(other.split(":")[0]) for other in others)]
    share = 16384 // len(servers)
    for index, one in enumerate(servers):
        end = 16383 if one is servers[-1] else (index + 1) * share - 1
        one.execute_command("CLUSTER", "ADDSLOTSRANGE", index * share, end)
    for other in others:
        server.execute_command("CLUSTER", "MEET", "127.0.0.1", *other.split(":"))
    until = time.monotonic() + LIMIT_S
    while not all(b"cluster_state:ok" in one.execute_command("CLUSTER", "INFO") for one in servers):
        if time.monotonic() > until:
            sys.exit("the servers do not become a cluster")
        time.sleep(0.05)


def main():
    server = connect(PORT)
    match COMMAND, ARGUMENTS:
        case "check", []:
            server.ping()
        case "put", [name, count]:
            put(server, name, [{"body": json.dumps({"n": n}), "text": f"number {n}"} for n in range(int(count))])
        case "put-fields", [name, *pairs]:
            put(server, name, [dict(pair.split("=", 1) for pair in pairs)])
        case "put-raw", [name, digits]:
            put(server, name, [{"body": bytes.fromhex(digits)}])
        case "put-json", [name, begin, end]:
            rows = [{"k": n % 10, "n": n} for n in range(int(begin), int(end))]
            put(server, name, [{"body": json.dumps(row)} for row in rows])
        case "read", [name]:
            for id, fields in server.xrange(name):
                texts = {key.decode(): value.decode() for key, value in fields.items()}
                print(json.dumps({"id": id.decode(), "fields": texts}))
        case "set", [name, value]:
            server.set(name, value)
        case "trim", [name, count]:
            server.xtrim(name, maxlen=int(count), approximate=False)
        case "delete", [name]:
            server.delete(name)
        case "leave", [name, group, count]:
            server.xreadgroup(group, "another", {name: ">"}, count=int(count))
        case "pending", [name, group]:
            own = next(one for one in server.xinfo_groups(name) if one["name"] == group.encode())
            undelivered = server.xrange(name, min=b"(" + own["last-delivered-id"])
            print(own["pending"] + len(undelivered))
        case "user", [name, password, *rules]:
            server.execute_command("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules)
        case "about", [key]:
            value = server.get(key)
            print("" if value is None else value.decode())
        case "meet", others:
            meet(server, others)
        case "slot", [key]:
            print(server.execute_command("CLUSTER", "KEYSLOT", key))
        case other:
            sys.exit(f"there is no command {other}")


main()
