#!/usr/bin/env bash
# Runs a cluster on this machine in the background, each replica a process.
#
#   scripts/local-cluster.sh start   [--replicas N] [--dir DIR] [--base-port PORT]
#   scripts/local-cluster.sh status  [--dir DIR]
#   scripts/local-cluster.sh kill N  [--dir DIR]      kill -9 replica N
#   scripts/local-cluster.sh restart N [--dir DIR]    start replica N (again)
#   scripts/local-cluster.sh logs N  [--dir DIR]      follow what replica N logs
#   scripts/local-cluster.sh stop    [--dir DIR]      stop all; the data stays
#
# DIR is local-cluster by default. A cluster that is in DIR already is started as
# it is.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
parley=${PARLEY:-$root/bin/parley}
dir=$root/local-cluster
replicas=4
port=7700

usage() {
	sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"
	exit "${1:-2}"
}

fail() {
	echo "local-cluster.sh: $*" >&2
	exit 1
}

command=${1:-}
[[ -n $command ]] || usage
shift
which=
while [[ $# -gt 0 ]]; do
	case $1 in
	--replicas | --dir | --base-port)
		[[ $# -ge 2 ]] || fail "$1 wants a value"
		case $1 in
		--replicas) replicas=$2 ;;
		--dir) dir=$2 ;;
		--base-port) port=$2 ;;
		esac
		shift 2
		;;
	-h | --help) usage 0 ;;
	[0-9]*)
		which=$1
		shift
		;;
	*) fail "unknown argument $1; see '$0 --help'" ;;
	esac
done

pid_file() { echo "$dir/replica-$1/pid"; }

# pid_of N prints the process of replica N if it runs. A number that another
# process has got meanwhile does not count.
pid_of() {
	local pid
	[[ -f $(pid_file "$1") ]] || return 1
	pid=$(<"$(pid_file "$1")")
	kill -0 "$pid" 2>/dev/null || return 1
	if [[ -r /proc/$pid/cmdline ]]; then
		tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "--dir $dir/replica-$1 " || return 1
	fi
	echo "$pid"
}

indexes() {
	local d
	for d in "$dir"/replica-*/; do
		d=${d%/}
		echo "${d##*replica-}"
	done | sort -n
}

need_cluster() { [[ -f $dir/cluster.json ]] || fail "there is no cluster in $dir: run '$0 start' first"; }

need_replica() {
	need_cluster
	[[ -n $which ]] || fail "name a replica, such as '$0 $command 0'"
	[[ -d $dir/replica-$which ]] || fail "there is no replica $which in $dir"
}

launch() {
	local n=$1
	if pid_of "$n" >/dev/null; then
		echo "replica-$n runs already, process $(pid_of "$n")"
		return
	fi
	nohup "$parley" start --dir "$dir/replica-$n" >/dev/null 2>>"$dir/replica-$n/log.txt" </dev/null &
	echo $! >"$(pid_file "$n")"
}

# await ends when process $1 has ended, or fails after $2 tenths of a second.
await() {
	local i
	for ((i = 0; i < $2; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}

case $command in
start)
	# Always: a program of an earlier version must not go on unnoticed.
	[[ -n ${PARLEY:-} ]] || (cd "$root" && go build -o bin/parley ./cmd/parley)
	if [[ ! -f $dir/cluster.json ]]; then
		"$parley" init --dir "$dir" --replicas "$replicas" --base-port "$port" >/dev/null
	fi
	for n in $(indexes); do launch "$n"; done
	for ((i = 0; ; i++)); do
		if "$parley" put --dir "$dir" --timeout 2s parley/hello "$(date -u +%FT%TZ)" >/dev/null 2>&1; then break; fi
		if ((i >= 15)); then
			tail -n 2 "$dir"/replica-*/log.txt >&2
			fail "the cluster does not answer; the ends of the logs are above"
		fi
		sleep 0.2
	done
	echo "The cluster in $dir is up: $("$parley" get --dir "$dir" parley/hello)"
	echo "Try: $parley status --dir $dir"
	;;
stop)
	need_cluster
	for n in $(indexes); do
		if pid=$(pid_of "$n"); then kill "$pid"; fi
	done
	for n in $(indexes); do
		if pid=$(pid_of "$n") && ! await "$pid" 150; then
			echo "replica-$n does not stop: killing it" >&2
			kill -9 "$pid"
		fi
		rm -f "$(pid_file "$n")"
	done
	echo "The cluster in $dir has stopped"
	;;
status)
	need_cluster
	"$parley" status --dir "$dir"
	;;
kill)
	need_replica
	pid=$(pid_of "$which") || fail "replica-$which does not run"
	kill -9 "$pid"
	await "$pid" 50 || fail "replica-$which does not die"
	echo "replica-$which is dead; '$0 restart $which' starts it again"
	;;
restart)
	need_replica
	if pid=$(pid_of "$which"); then
		kill "$pid"
		await "$pid" 150 || kill -9 "$pid"
	fi
	launch "$which"
	sleep 0.3
	pid_of "$which" >/dev/null || {
		tail -n 3 "$dir/replica-$which/log.txt" >&2
		fail "replica-$which ended at once; the end of its log is above"
	}
	echo "replica-$which runs, process $(pid_of "$which")"
	;;
logs)
	need_replica
	exec tail -n 50 -F "$dir/replica-$which/log.txt"
	;;
-h | --help | help) usage 0 ;;
*) fail "unknown command $command; see '$0 --help'" ;;
esac
