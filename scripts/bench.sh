#!/bin/sh
# Runs Parley beside the systems it is compared with and writes bench/RESULTS.md,
# bench/results.svg and bench/results.json. Takes an hour; with --quick less than
# five minutes. Flags: scripts/bench.sh --help
set -eu
cd "$(dirname "$0")/../bench"
program=$(mktemp -d)
trap 'rm -rf "$program"' EXIT
go build -o "$program/bench" .
"$program/bench" --source . "$@"
