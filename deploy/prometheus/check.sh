#!/usr/bin/env bash
# Checks the scrape configuration, the alerts (with their unit tests), and every expression of the dashboard.
#
# Usage: deploy/prometheus/check.sh          (installs Debian's prometheus when promtool is missing and this runs as root)
# That each metric named exists is a test of the coordinator (dashboard_and_alerts_name_only_metrics_that_are_served).
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v promtool >/dev/null 2>&1; then
    [ "$(id -u)" -eq 0 ] || { echo "check: promtool is missing; install Debian's prometheus as root" >&2; exit 1; }
    # The daemon itself is not wanted.
    RUNLEVEL=1 apt-get install -y -qq --no-install-recommends prometheus >/dev/null
fi
promtool check config scrape.yml
promtool check rules alerts.yml
promtool test rules alerts_test.yml
expressions=$(mktemp --suffix=.yml)
trap 'rm -f "$expressions"' EXIT
python3 - "$expressions" <<'PY'
import json, sys
expressions = [t["expr"] for p in json.load(open("grafana.json"))["panels"] for t in p.get("targets", [])]
rules = [{"record": f"dashboard:panel_{i}", "expr": e.replace("$job", "transect")} for i, e in enumerate(expressions)]
json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, open(sys.argv[1], "w"))
print(f"check: {len(rules)} expressions of the dashboard")
PY
promtool check rules "$expressions"
