#!/usr/bin/env bash
# Verifies the units, the drop-in, the user and the folders, and holds the exposure of each service below a limit.
#
# Usage: deploy/systemd/check.sh            (installs Debian's systemd when it is missing and this runs as root)
# Nothing is started and nothing is installed besides: units are read, users and folders are made below a scratch root.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v systemd-analyze >/dev/null 2>&1; then
    [ "$(id -u)" -eq 0 ] || { echo "check: systemd-analyze is missing; install systemd as root" >&2; exit 1; }
    apt-get install -y -qq --no-install-recommends systemd >/dev/null
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

# The units as they are, but for programs that exist here. (The colon of cuda:0 means an alias to systemd-analyze verify.)
units=$root/units
mkdir -p "$units/transect-worker@cuda.service.d" "$units/transect-worker@.service.d" "$units/transect-coordinator.service.d"
for unit in transect-coordinator.service transect-worker@.service; do
    sed 's,/opt/transect/bin/[a-z-]*,/bin/true,' "$unit" >"$units/$unit"
done
cp cuda.conf "$units/transect-worker@cuda.service.d/"
cp worker-secure.conf "$units/transect-worker@.service.d/"
cp coordinator-secure.conf "$units/transect-coordinator.service.d/"

fail=0
verify() {
    local said
    said=$(systemd-analyze verify --man=no "$@" 2>&1) || fail=1
    # Warnings are errors, too.
    [ -z "$said" ] || { echo "$said" >&2; fail=1; }
}
for instance in cpu cuda; do
    cp "$units/transect-worker@.service" "$units/transect-worker@$instance.service"
done
verify "$units/transect-coordinator.service" "$units/transect-worker@cpu.service" "$units/transect-worker@cuda.service"
echo "check: systemd-analyze verify: $([ $fail -eq 0 ] && echo clean || echo FAILED)"

# Exposure from 0 (best) to 10, as systemd-analyze sees it; the thresholds are in tenths.
security() {
    local name=$1 limit=$2 said
    if said=$(systemd-analyze security --offline=true --threshold="$limit" --no-pager "$name" 2>&1); then :; else fail=1; fi
    echo "check: $(basename "$name"): $(grep 'Overall exposure' <<<"$said" | sed 's/.*: \([0-9.]*\).*/exposure \1/'), limit $(awk "BEGIN { print $limit / 10 }")"
}
security "$units/transect-coordinator.service" 15
security "$units/transect-worker@cpu.service" 16
cat "$units/transect-worker@.service" <(grep -v '^After' cuda.conf) >"$units/transect-worker@cuda.service"
security "$units/transect-worker@cuda.service" 20

mkdir -p "$root/root/etc"
systemd-sysusers --root="$root/root" "$PWD/transect.sysusers"
grep -q '^transect:' "$root/root/etc/passwd" || { echo "check: sysusers made no user" >&2; fail=1; }
systemd-tmpfiles --root="$root/root" --create "$PWD/transect.tmpfiles"
[ -d "$root/root/var/lib/transect/data" ] || { echo "check: tmpfiles made no folder" >&2; fail=1; }
echo "check: user and folders: made below a scratch root"
exit $fail
