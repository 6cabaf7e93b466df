#!/usr/bin/env bash
# The suite of psql, PostgreSQL's command line: `psql.sh HOST:PORT`. The topic `flights` has three records.
set -uo pipefail

host=${1%:*}
port=${1##*:}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0
export PGHOST=$host PGPORT=$port PGUSER=ada PGDATABASE=shop PGSSLMODE=prefer PGCONNECT_TIMEOUT=20

# Runs a command of psql, and looks for a pattern in what it prints.
check() {
  local name=$1 wanted=$2
  shift 2
  if timeout 60 psql -X -v ON_ERROR_STOP=1 "$@" >"$scratch/out" 2>&1 && grep -Eq -- "$wanted" "$scratch/out"; then
    passed=$((passed + 1))
    echo "ok $name"
  else
    failed=$((failed + 1))
    echo "FAILED $name"
    tail -n 15 "$scratch/out"
  fi
}

check 'rows' '^3$' -At -c 'SELECT count(*) FROM flights'
check 'fields of JSON' '^EWR\|2$' -At -c "SELECT value->>'origin', count(*) FROM flights GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
check 'relations' 'topics +\| flights +\| table' -c '\d'
check 'tables' 'topics +\| flights +\| table +\| eventwright' -c '\dt topics.*'
check 'a relation' 'partition +\| integer +\| +\| not null' -c '\d topics.flights'
check 'its key' '"flights_pkey" PRIMARY KEY, btree \(partition, "offset"\)' -c '\d topics.flights'
check 'more of it' 'Access method: heap' -c '\d+ topics.flights'
check 'databases' 'shop +\| eventwright +\| UTF8' -c '\l'
check 'schemas' 'topics +\| eventwright' -c '\dn'
check 'functions' 'List of functions' -c '\df'
check 'roles' 'eventwright' -c '\du'
check 'views' 'Did not find any|List of relations' -c '\dv'
check 'materialized views' 'Did not find any|List of relations' -c '\dm'
check 'indexes' 'flights_pkey' -c '\di topics.*'
check 'settings' 'server_version +\| 17' -c '\dconfig server_version'
check 'types' 'timestamp with time zone' -c '\dT pg_catalog.timestamptz'
check 'expanded' 'RECORD 1' -c '\x' -c 'SELECT * FROM flights LIMIT 1'
check 'a file of CSV' '^EWR,1$' -c "\\copy (SELECT value->>'origin', partition + 1 FROM flights WHERE partition = 0 ORDER BY \"offset\" LIMIT 1) TO '$scratch/rows.csv' CSV" -c "\\! cat $scratch/rows.csv"
check 'a cursor by psql itself' '^3$' -At -v FETCH_COUNT=1 -c 'SELECT "offset" + 1 FROM flights ORDER BY "offset" LIMIT 3'
check 'a transaction' '^3$' -At -1 -c 'SELECT count(*) FROM flights'
echo 'SELECT timestamp, value FROM flights \gdesc' >"$scratch/gdesc.sql"
check 'a description of a query' 'timestamp with time zone' -f "$scratch/gdesc.sql"
check 'a position' '^[0-9A-F]+/[0-9A-F]+$' -At -c 'SELECT pg_current_wal_lsn()'
check 'a wait' '^success$' -At -c "WAIT FOR LSN '0/1' WITH (TIMEOUT '5s')"
# An error shows where it is.
timeout 60 psql -X -c 'SELECT valeu FROM flights' >"$scratch/out" 2>&1
if grep -q 'LINE 1: SELECT valeu FROM flights' "$scratch/out"; then
  passed=$((passed + 1))
  echo 'ok an error'
else
  failed=$((failed + 1))
  echo 'FAILED an error'
  cat "$scratch/out"
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
