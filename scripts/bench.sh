#!/usr/bin/env bash
# Sets up the peers and builds ours, then runs bench/run.py with the arguments given here.
#
# .deps/bench-venv    the peers of bench/requirements.txt (about 5 GB: PyTorch's wheel brings its GPU libraries along)
#
# Safe to run twice: what is installed is recognised by a copy of the requirements, and left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.deps/bench-venv
if ! cmp -s bench/requirements.txt "$venv/requirements.txt"; then
    echo "bench: installing the peers of bench/requirements.txt into $venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r bench/requirements.txt || {
        echo "bench: pip could not install the peers. Check that this machine reaches PyPI and has 6 GB free, then run the same command again." >&2
        exit 1
    }
    cp bench/requirements.txt "$venv/requirements.txt"
fi
echo "bench: building"
cargo build --release --locked --workspace --bins
exec "$venv/bin/python" bench/run.py "$@"
