"""What the Python suites share: named checks with a count, and records to send that are hard to get right.

A check is a function; it passes if it returns and fails with what it raises. Later checks run all the same.
"""

import sys
import time
import traceback
import uuid

# Long enough for a JVM broker on a loaded machine; nothing waits this long when all is well.
LIMIT_SECONDS = 120


def unique(name):
    """A topic or group name that no earlier run has used."""
    return f"{name}-{uuid.uuid4().hex[:10]}"


def expect(actual, wanted, what):
    if actual != wanted:
        raise AssertionError(f"{what}: got {shorten(actual)}, wanted {shorten(wanted)}")


def shorten(value):
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}… ({len(text)} characters)"


def until(poll, what):
    """Calls `poll`, which itself waits a little, until it returns something true; fails at the limit."""
    end = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < end:
        result = poll()
        if result:
            return result
    raise AssertionError(f"{what}: not within {LIMIT_SECONDS} seconds")


def sample_records(count):
    """(key, value, headers) triples: keys and values missing, empty, binary and long; headers twice and empty."""
    records = []
    for number in range(count):
        key = None if number % 5 == 0 else f"key-{number % 7}".encode()
        value = (f"value {number} " * (1 + number % 50)).encode()
        headers = [("trace", str(number).encode())] if number % 3 == 0 else []
        records.append((key, value, headers))
    records.append((b"empty", b"", [("same", b"1"), ("same", b"2"), ("binary", bytes(range(256)))]))
    records.append((b"deleted", None, [("reason", b"tombstone")]))
    records.append((b"\x00\xff\xfe", bytes(range(256)) * 40, [("ünïcödé", "wörd".encode())]))
    return records


class Suite:
    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failed = 0

    def check(self, name, function, *arguments):
        start = time.monotonic()
        try:
            function(*arguments)
        except Exception as error:
            self.failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
            traceback.print_exc(limit=4, file=sys.stdout)
        else:
            self.passed += 1
            print(f"ok {name} ({time.monotonic() - start:.2f} s)", flush=True)

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)
