"""What the tests of the MongoDB connectors ask of a server, by the vendor's own client: PyMongo.

    client.py PORT USER PASSWORD COMMAND ...

    check                           whether the server lets in
    put COLLECTION FROM TO          documents {"k": …, "n": FROM} … as the conformance suite has them
    read COLLECTION                 the numbers that its documents have, but that of `taken`: one in a line
    refuse COLLECTION NUMBER        has the collection take no document with this number
    poison COLLECTION               a document whose number is a text
    insert COLLECTION JSON ...      documents in extended JSON
    set COLLECTION ID JSON          sets fields of the document under an id
    replace COLLECTION ID JSON
    delete COLLECTION ID ...
    drop COLLECTION
    find COLLECTION                 all documents in the order of their ids: a line of canonical extended JSON for each
    run DATABASE JSON               runs a command; the answer in relaxed extended JSON

Ids are extended JSON: 7, "a", {"$oid": "…"}.
"""

import sys

from bson import json_util
from pymongo import MongoClient

PORT, USER, PASSWORD, COMMAND, *ARGUMENTS = sys.argv[1:]
LIMIT_MS = 30_000
KEYS = 10


def server():
    return MongoClient(
        "127.0.0.1",
        int(PORT),
        username=USER,
        password=PASSWORD,
        directConnection=True,
        serverSelectionTimeoutMS=LIMIT_MS,
        socketTimeoutMS=LIMIT_MS,
    )


def read(text):
    return json_util.loads(text)


def main():
    shop = server()["shop"]
    if COMMAND == "check":
        shop["check"].find_one({})
        return
    if COMMAND == "run":
        database, command = ARGUMENTS
        print(json_util.dumps(shop.client[database].command(read(command)), json_options=json_util.RELAXED_JSON_OPTIONS))
        return
    collection, *rest = ARGUMENTS
    documents = shop[collection]
    if COMMAND == "put":
        first, end = map(int, rest)
        documents.insert_many([{"k": n % KEYS, "n": n} for n in range(first, end)])
    elif COMMAND == "read":
        for document in documents.find({"_id": {"$ne": "taken"}}):
            print(document["n"])
    elif COMMAND == "refuse":
        documents.create_index("n", unique=True)
        documents.insert_one({"_id": "taken", "n": int(rest[0])})
    elif COMMAND == "poison":
        documents.insert_one({"_id": "poison", "k": 1, "n": "seven"})
    elif COMMAND == "insert":
        documents.insert_many([read(text) for text in rest])
    elif COMMAND == "set":
        documents.update_one({"_id": read(rest[0])}, {"$set": read(rest[1])})
    elif COMMAND == "replace":
        documents.replace_one({"_id": read(rest[0])}, read(rest[1]))
    elif COMMAND == "delete":
        for text in rest:
            documents.delete_one({"_id": read(text)})
    elif COMMAND == "drop":
        documents.drop()
    elif COMMAND == "find":
        for document in documents.find({}).sort("_id", 1):
            print(json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS))
    else:
        sys.exit(f"there is no command {COMMAND}")


main()
