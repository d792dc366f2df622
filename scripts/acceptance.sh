#!/usr/bin/env bash
# Clusters of real processes on this machine that are killed, wiped and starved
# while records are loaded; at the end every replica must have every record,
# executed exactly once. Prints figures.
#
#   scripts/acceptance.sh              everything, about ten minutes
#   scripts/acceptance.sh FLAG...      only these:
#     --load        50,000 and more records; kill -9 of the primary at one third
#                   and of a backup at two thirds; 1,000 receipts checked offline
#     --all-killed  kill -9 of all four at once under load, twice
#     --away        a replica is away until the others have pruned their logs
#     --wiped       a replica loses its disk and rejoins
#     --two-down    two of four are down for a while: no progress, nothing lost
#     --idle        what a cluster costs for a minute in which nobody uses it
#     --sizes       4, 5, 7 and 10 replicas, weights, BLS votes
#
# The records are the Debian package index of this machine ('apt-get update' fills
# it), or made up where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

names=()
for flag in "$@"; do
	case $flag in
	--load) names+=(Load) ;;
	--all-killed) names+=(AllKilled) ;;
	--away) names+=(Away) ;;
	--wiped) names+=(Wiped) ;;
	--two-down) names+=(TwoDown) ;;
	--idle) names+=(Idle) ;;
	--sizes) names+=(Sizes) ;;
	-h | --help)
		sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
		exit 0
		;;
	*)
		echo "acceptance.sh: unknown flag $flag; see '$0 --help'" >&2
		exit 2
		;;
	esac
done
pattern='^TestAcceptance'
if [[ ${#names[@]} -gt 0 ]]; then
	pattern="^TestAcceptance($(
		IFS='|'
		echo "${names[*]}"
	))\$"
fi
exec go test -tags acceptance -count=1 -timeout 60m -v -run "$pattern" ./cmd/parley
