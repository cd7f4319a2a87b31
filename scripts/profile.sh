#!/usr/bin/env bash
# Draws a flame graph of our side of a benchmark's work: samples of the whole process by Linux's perf, drawn by `inferno`.
#
# Usage: scripts/profile.sh WORK [OPTION OF transect-bench]...
#   layers-ARCHITECTURE, whole-ARCHITECTURE, train-ARCHITECTURE, for any of `transect models`
# Writes .transect/profile/WORK.svg and prints the functions that take most.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$1
shift
architecture=${work#*-}
case $work in
layers-*) command=(lines --masks each --alphas 11) ;;
whole-*) command=(lines --masks all --alphas 25) ;;
train-*) command=(train) ;;
*)
    echo "profile: no such work: $work (layers-, whole- or train- and an architecture)" >&2
    exit 2
    ;;
esac
data=(--data fashion-mnist --images 2000)
case $architecture in
resnet* | vgg* | efficientnet* | vit | simple-cnn)
    # A set lies in a folder of its name.
    mkdir -p .transect/profile
    for place in .transect/data/cifar10 ../shared/data/cifar10-part; do
        if compgen -G "$place/data_batch_1.bin*" >/dev/null; then
            ln -sfn "$(cd "$place" && pwd)" .transect/profile/cifar10
            break
        fi
    done
    data=(--data cifar10 --folder .transect/profile --images 200)
    ;;
esac

command -v perf >/dev/null || {
    echo "profile: installing perf (linux-perf of Debian)"
    apt-get install -y --no-install-recommends linux-perf >/dev/null || {
        echo "profile: perf is missing; install it as root with: apt-get install linux-perf" >&2
        exit 1
    }
}
[ -x .deps/bin/inferno-flamegraph ] || cargo install --quiet --locked --root .deps --version 0.12.8 inferno
# Names of functions, which a release has; lines are not needed.
cargo build --release --locked --workspace --bins
mkdir -p .transect/profile
samples=.transect/profile/$work.data
OMP_NUM_THREADS=1 perf record --quiet --freq 499 --call-graph fp --output "$samples" \
    target/release/transect-bench "${command[@]}" --architecture "$architecture" "${data[@]}" --repeat 2 "$@" >/dev/null
# Callers without frame pointers (libtorch's) are unknown, a hundred at a time, and left out: what stands on
# `transect-bench` alone has no known caller.
perf script --input "$samples" 2>/dev/null | .deps/bin/inferno-collapse-perf |
    sed 's/\[unknown\];//g' |
    .deps/bin/inferno-flamegraph --title "$work" >".transect/profile/$work.svg"
perf report --input "$samples" --no-children --stdio --percent-limit 1 --call-graph none 2>/dev/null | grep -v '^#' | grep . | cut -c1-120
echo "profile: .transect/profile/$work.svg"
