#!/usr/bin/env bash
# Runs a sweep through a Slurm of one machine: workers as jobs of an array and of `transect scale`, one that meets its time
# limit, some that are pre-empted and one that is requeued; then every point is there, and all of it is taken down.
#
# Usage: deploy/slurm/test.sh     as root, after `make build`; installs Debian's slurm-wlm and munge when they are missing.
#   BIN=DIR      where transect, transect-coordinator and transect-worker are [target/release]
#   KEEP=1       leave the folder with all logs behind
#   SEEDS=N EPOCHS=N   size of the sweep
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$(realpath "${BIN:-target/release}")
seeds=${SEEDS:-12} epochs=${EPOCHS:-500}

say() { echo "slurm-test: $*"; }
die() { echo "slurm-test: $*" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || die "run this as root: munged and slurmd need it"
for program in transect transect-coordinator transect-worker; do
    [ -x "$bin/$program" ] || die "$bin/$program is missing; run make build first"
done
if ! command -v slurmctld >/dev/null 2>&1 || ! command -v munged >/dev/null 2>&1; then
    say "installing slurm-wlm and munge from Debian"
    # Their daemons are started below, by hand, and not by the packages.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null; }
fi

work=$(mktemp -d /tmp/transect-slurm.XXXXXX)
chmod 755 "$work"
started=()
tear_down() {
    local status=$?
    set +e
    [ -f "$work/slurm.conf" ] && timeout 10 scancel --me --full >/dev/null 2>&1
    sleep 1
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        kill "${started[i]}" 2>/dev/null
        for _ in $(seq 50); do kill -0 "${started[i]}" 2>/dev/null || break; sleep 0.1; done
        kill -9 "${started[i]}" 2>/dev/null
    done
    if [ $status -ne 0 ] || [ -n "${KEEP:-}" ]; then
        say "logs are in $work"
    else
        rm -rf "$work"
    fi
    exit $status
}
trap tear_down EXIT

wait_for() {
    local what=$1 seconds=$2
    shift 2
    for ((i = 0; i < seconds * 5; i++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    tail -n 20 "$work"/*.log >&2 || true
    die "waited $seconds s in vain for $what"
}

# Munge proves to Slurm's daemons who is who.
install -d -o munge -g munge -m 755 "$work/munge"
head -c 1024 /dev/urandom >"$work/munge/key"
chown munge:munge "$work/munge/key"
chmod 400 "$work/munge/key"
setpriv --reuid=munge --regid=munge --clear-groups munged --foreground --key-file="$work/munge/key" \
    --socket="$work/munge/socket" --pid-file="$work/munge/pid" --log-file="$work/munge/log" \
    --seed-file="$work/munge/seed" >"$work/munged.log" 2>&1 &
started+=($!)
wait_for munged 20 test -S "$work/munge/socket"

# Slurm on one machine: two workers' worth of cores whatever the machine has, and a partition that pre-empts the other.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
name=$(hostname -s)
install -d "$work/state" "$work/spool" "$work/logs"
cat >"$work/slurm.conf" <<CONF
ClusterName=transect
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
AuthType=auth/munge
CredType=cred/munge
# A requeued job waits until its credential has expired, two minutes unless said otherwise.
AuthInfo=socket=$work/munge/socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=30
ReturnToService=2
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
MailProg=/bin/true
NodeName=$name NodeAddr=127.0.0.1 CPUs=2 Boards=1 SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=1 State=UNKNOWN
PartitionName=low Nodes=$name Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=0 State=UP
PartitionName=high Nodes=$name PriorityTier=2 PreemptMode=OFF State=UP
CONF
export SLURM_CONF=$work/slurm.conf
slurmctld -D >"$work/slurmctld.out" 2>&1 &
started+=($!)
slurmd -D -N "$name" >"$work/slurmd.out" 2>&1 &
started+=($!)
wait_for "a node that takes jobs" 60 bash -c 'sinfo --noheader --format=%t | grep -q idle'
say "$(sinfo --version) is up in $work: one node, two cores"

# A coordinator, and a sweep whose data sets are made by a formula.
port=$(free_port)
"$bin/transect-coordinator" --home "$work/home" --listen "127.0.0.1:$port" --http off --lease-seconds 10 \
    >"$work/coordinator.log" 2>&1 &
started+=($!)
export TRANSECT_COORDINATOR=http://127.0.0.1:$port
transect() { "$bin/transect" "$@"; }
cat >"$work/sweep.toml" <<SWEEP
name = "slurm"
[data]
set = "spirals"
train_size = 2000
test_size = 500
[model]
architecture = "mlp"
[model.mlp]
widths = [32, 32]
[train]
seed = "0..$seeds"
optimizer = { name = "sgd", lr = 0.05, momentum = 0.9 }
epochs = $epochs
batch_size = 20
[[probe]]
kind = "line"
alphas = { start = 0.0, stop = 1.0, count = 5 }
layers = ["all", "each"]
SWEEP
wait_for "the coordinator" 20 transect sweeps
transect submit "$work/sweep.toml"
sweep() { transect status slurm --json | python3 -c "import json, sys; s = json.load(sys.stdin); s = s.get('sweep', s); print(s['$1'])"; }

job=(--name tw --cpus 1 --logs "$work/logs" --cache "$work/cache-\$SLURM_JOB_ID" --data "$work" --program "${PROGRAM:-$bin/transect-worker}")
says() { grep -qs "$1" "$work"/logs/*.log; }
count() { squeue --noheader --array --name=tw --states="$1" | wc -l; }
is() { [ "$(count "$1")" -ge "$2" ]; }
has_run() { scontrol show job "$1" | grep -q "Restarts=[1-9]"; }

# 1. A worker that meets its time limit of a minute: SIGTERM comes 25 s before, it gives its work back and leaves with 0.
limited=$(transect worker slurm "${job[@]}" --time 1min --drain 25s --submit --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["job"])')
wait_for "the limited worker" 30 is RUNNING 1
wait_for "its first lease" 30 bash -c "grep -qs leased '$work'/logs/tw-${limited}_0.log || [ \$($bin/transect workers --json | grep -c '\"leased\": *[1-9]') -gt 0 ]"
say "a worker with a limit of one minute runs as job $limited"

# 2. As many workers as the work is worth; the node takes one more now, and the rest wait.
transect scale --slurm --once --min 1 --max 3 --jobs-per-worker 2 "${job[@]}" --time 10min --drain 30s
is "PENDING,RUNNING" 3 || die "scale did not bring three workers: $(squeue)"
wait_for "a second worker" 30 is RUNNING 2
transect scale --slurm --once --min 1 --max 3 --jobs-per-worker 2 "${job[@]}" --time 10min --drain 30s | grep -q "as many" ||
    die "scale added workers to enough"
wait_for "the limited worker to leave" 120 bash -c "! squeue --noheader --job=$limited 2>/dev/null | grep -q ."
scontrol show job "$limited" | grep -q "JobState=COMPLETED" || die "the limited worker did not leave by itself: $(scontrol show job "$limited")"
say "it drained before its limit: $(scontrol show job "$limited" | grep -o 'JobState=[A-Z]* .*\|RunTime=[0-9:]*' | tr '\n' ' ')"

still_busy() { [ "$(sweep state)" = running ] || die "the sweep is over before $1 could disturb it; try again with more EPOCHS"; }

# 3. A job of a partition of higher priority takes the whole node: the workers are pre-empted, requeued, and come back.
wait_for "two workers again" 60 is RUNNING 2
still_busy pre-emption
sbatch --parsable --job-name=urgent --partition=high --ntasks=2 --time=1 --output=/dev/null --wrap "sleep 3" >"$work/urgent"
urgent=$(cat "$work/urgent")
wait_for "the urgent job" 90 bash -c "scontrol show job $urgent | grep -q JobState=RUNNING"
say "pre-empted: $(count PENDING) worker jobs wait while job $urgent runs"
wait_for "the workers to come back" 120 is RUNNING 1

# 4. An administrator requeues one.
still_busy "a requeue"
again=$(squeue --noheader --array --name=tw --states=RUNNING --format=%i | head -n 1)
scontrol requeue "$again"
wait_for "the requeued worker" 120 has_run "$again"
say "requeued: $again"

# 5. The work ends; what waits is cancelled, and the results are whole.
for ((i = 0; i < 1800; i++)); do
    state=$(sweep state)
    [ "$state" = running ] || break
    sleep 0.5
done
[ "$state" = done ] || { transect status slurm >&2; die "the sweep is $state"; }
points=$(sweep points) expected=$(sweep points_expected)
[ "$points" = "$expected" ] || die "$points points of $expected"
failed=$(sweep failed)
[ "$failed" = 0 ] || die "$failed jobs failed"
[ "$(transect results slurm --format csv | wc -l)" -eq $((points + 1)) ] || die "the results have other rows"
says '"leases_given_back":[1-9]' || die "no worker gave work back: nothing was disturbed"
says "goes on after step" || die "no training went on from its snapshot"
say "$(cat "$work"/logs/*.log | grep -o 'mlp seed [^"]* goes on after step [0-9]*' | head -n 1)"
transect scale --slurm --once --min 0 --max 3 "${job[@]}"
[ "$(count PENDING)" -eq 0 ] || die "worker jobs still wait for nothing: $(squeue)"
say "all $points points of $seeds runs are there"
