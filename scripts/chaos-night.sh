#!/usr/bin/env bash
# The long chaos run. Writes chaos/RESULTS.md: what was run, for how long, and what
# came of it.
#
#   scripts/chaos-night.sh [DURATION]     of the swarm, such as 20m or 8h; 1h
#
# The other parts run beside the swarm, whose clock is virtual and which yields to
# them, and take about two hours on two cores. Shorten them with APPTIME, KILLS, POWERCUTS,
# REALSECONDS, MUTANTTIME, BOUNDSEEDS and STATES. A part that finds something makes
# the script fail, after the others have run.
#
# With WORK, a folder, what each part printed stays there, and a part that has ended
# there, well or not, is not run again: so a night that was cut short goes on.
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:-1h}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN)}
work=${WORK:-$(mktemp -d)}
mkdir -p "$work"
swarm=
trap '[ -z "$swarm" ] || kill "$swarm" 2>/dev/null || true; [ -n "${WORK:-}" ] || rm -rf "$work"' EXIT
go build -o bin/parley ./cmd/parley

part() { # name, command...
	local name=$1
	shift
	if [ -e "$work/$name.seconds" ]; then
		return
	fi
	echo "== $name: $*" >&2
	local start=$SECONDS
	"$@" >"$work/$name.out" || echo "$name" >>"$work/failed"
	echo $((SECONDS - start)) >"$work/$name.seconds"
	echo "== $name: $((SECONDS - start)) s" >&2
}

[ -e "$work/swarm.md" ] || nice bin/parley chaos run --for "$duration" --jobs "$jobs" --failures 10 --dir bin/findings --table "$work/swarm.md" >&2 &
swarm=$!
part scenarios bin/parley chaos scenarios
part breaches bin/parley chaos scenarios --mutants
part applications bin/parley chaos run --app all --for "${APPTIME:-30m}" --jobs "$jobs" --failures 10 --dir bin/findings-applications
part mutants bin/parley chaos mutants --seeds 5000 --time "${MUTANTTIME:-60s}" --shrink 5s --jobs "$jobs" --table "$work/mutants.md"
part bound bin/parley chaos bound --seeds "${BOUNDSEEDS:-16}"
part explore go test ./chaos/explore -count=1 -v -timeout 12h -run TestNight -explore.night -explore.states "${STATES:-3000000}"
part real bin/parley chaos real --seconds "${REALSECONDS:-600}"
part kills bin/parley chaos real --kills "${KILLS:-500}"
part power bin/parley chaos real --power "${POWERCUTS:-50}"
# The same where the state is on the disk.
part real-store bin/parley chaos real --app kv-store --seconds "${REALSECONDS:-600}"
part kills-store bin/parley chaos real --app kv-store --kills "${KILLS:-500}"
part power-store bin/parley chaos real --app kv-store --power "${POWERCUTS:-50}"
wait "$swarm" || echo swarm >>"$work/failed"
swarm=

{
	echo "# Results of the long chaos run"
	echo
	echo "Written by \`scripts/chaos-night.sh $duration\` on $(date -u +%Y-%m-%d), at $(git describe --always --dirty), $(go env GOVERSION), $(nproc) cores."
	echo
	echo "## Swarm"
	echo
	cat "$work/swarm.md" || echo "It left no table."
	echo
	echo "## Mutants"
	echo
	cat "$work/mutants.md" || echo "They left no table."
	for name in scenarios breaches applications bound explore real kills power real-store kills-store power-store; do
		echo
		echo "## ${name^} ($(cat "$work/$name.seconds") s)"
		echo
		echo '```'
		# The runs of real processes tell everything on the way; the verdict comes last.
		case $name in real* | kills* | power*) lines=50 ;; *) lines=150 ;; esac
		tail -n $lines "$work/$name.out" | sed 's/[[:space:]]*$//'
		echo '```'
	done
} >"$work/RESULTS.md"
mv "$work/RESULTS.md" chaos/RESULTS.md
echo "wrote chaos/RESULTS.md" >&2
if [ -s "$work/failed" ]; then
	echo "FAILED: $(tr '\n' ' ' <"$work/failed")" >&2
	exit 1
fi
