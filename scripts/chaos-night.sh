#!/usr/bin/env bash
# The long chaos run. Writes chaos/RESULTS.md: what was run, for how long, and what
# came of it.
#
#   scripts/chaos-night.sh [DURATION]     of the swarm, such as 20m or 8h; 1h
#
# The other parts take as long as they take, about an hour on two cores. Shorten
# them with KILLS, POWERCUTS, REALSECONDS, MUTANTTIME and BOUNDSEEDS. A part that
# finds something makes the script fail, after the others have run.
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:-1h}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o bin/parley ./cmd/parley
failed=()

part() { # name, command...
	local name=$1
	shift
	echo "== $name: $*" >&2
	local start=$SECONDS code=0
	"$@" >"$work/$name.out" || code=$?
	echo $((SECONDS - start)) >"$work/$name.seconds"
	if [ $code -ne 0 ]; then
		failed+=("$name")
	fi
}

part swarm bin/parley chaos run --for "$duration" --jobs "$jobs" --failures 10 --dir bin/findings --table "$work/swarm.md"
part mutants bin/parley chaos mutants --seeds 5000 --time "${MUTANTTIME:-60s}" --shrink 5s --jobs "$jobs" --table "$work/mutants.md"
part bound bin/parley chaos bound --seeds "${BOUNDSEEDS:-16}"
part explore go test ./chaos/explore -count=1 -v -run 'TestSmall|TestBlind|TestExhaust'
part real bin/parley chaos real --seconds "${REALSECONDS:-600}"
part kills bin/parley chaos real --kills "${KILLS:-500}"
part power bin/parley chaos real --power "${POWERCUTS:-50}"

{
	echo "# Results of the long chaos run"
	echo
	echo "Written by \`scripts/chaos-night.sh $duration\` on $(date -u +%Y-%m-%d), at $(git describe --always --dirty), $(go env GOVERSION), $(nproc) cores."
	echo
	echo "## Swarm"
	echo
	cat "$work/swarm.md"
	echo
	echo "## Mutants"
	echo
	cat "$work/mutants.md"
	for name in bound explore real kills power; do
		echo
		echo "## ${name^} ($(cat "$work/$name.seconds") s)"
		echo
		echo '```'
		tail -n 60 "$work/$name.out" | sed 's/[[:space:]]*$//'
		echo '```'
	done
} >chaos/RESULTS.md
echo "wrote chaos/RESULTS.md" >&2
if [ ${#failed[@]} -gt 0 ]; then
	echo "FAILED: ${failed[*]}" >&2
	exit 1
fi
