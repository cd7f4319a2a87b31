#!/usr/bin/env bash
# Compares points of lines measured on a GPU with those measured on the CPU, and says how long both took.
#
# Usage: scripts/gpu-check.sh [DATA]
#   DATA    folder that holds fashion-mnist and cifar10; .transect/data without this
#
#   TRANSECT_BENCH      a built transect-bench; target/release/transect-bench without this
#   DEVICE              cuda:0 without this
#   REPEAT              times that are measured, after one that is not; 3 without this
#
# The GPU's libraries come from a full torch 2.11: put its lib folder into LD_LIBRARY_PATH (`python3 -c 'import torch,
# os; print(os.path.join(os.path.dirname(torch.__file__), "lib"))'`), or build with LIBTORCH pointing at it.
#
# Prints one JSON object for each of layers-mlp, layers-lenet5 and layers-resnet20. Losses must agree to 1e-4 of their
# size, accuracies to three images. TF32 is off, as its products keep ten bits.
set -euo pipefail
cd "$(dirname "$0")/.."

data=${1:-.transect/data}
bench=${TRANSECT_BENCH:-target/release/transect-bench}
device=${DEVICE:-cuda:0}
repeat=${REPEAT:-3}
export NVIDIA_TF32_OVERRIDE=0

if [ ! -x "$bench" ]; then
    echo "gpu-check: there is no $bench. Run 'cargo build --release --locked -p transect-bench', or set TRANSECT_BENCH." >&2
    exit 1
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Writes the JSON of the work's lines: architecture, data set, images, device, evaluator, file.
measure() {
    "$bench" lines --architecture "$1" --data "$2" --folder "$data" --images "$3" --device "$4" --evaluator "$5" \
        --threads "$(nproc)" --repeat "$repeat" >"$6" || {
        echo "gpu-check: $1 could not be measured on $4; the reason stands above" >&2
        exit 1
    }
}

failed=0
check() {
    # The GPU first: where there is none, that is said at once.
    measure "$1" "$2" "$3" "$device" stacked "$scratch/gpu.json"
    measure "$1" "$2" "$3" cpu group "$scratch/cpu.json"
    python3 - "layers-$1" "$3" "$device" "$scratch/gpu.json" "$scratch/cpu.json" <<'PYTHON' || failed=1
import json, statistics, sys

work, images, device, *files = sys.argv[1:]
gpu, cpu = (json.load(open(file)) for file in files)
points = [{tuple(point[:2]): point[2:] for point in side["points"]} for side in (gpu, cpu)]
if points[0].keys() != points[1].keys():
    sys.exit(f"gpu-check: {work}: {len(points[0])} points on {device}, {len(points[1])} on the CPU")
pairs = [(points[0][place], points[1][place]) for place in points[1]]
# A loss that is no number is so on both sides.
losses = [(a, b) for (a, _), (b, _) in pairs if (a, b) != (None, None)]
error = max((float("inf") if None in pair else abs(pair[0] - pair[1]) / max(abs(pair[1]), 1e-12) for pair in losses), default=0.0)
images_apart = max(abs(a - b) * int(images) for (_, a), (_, b) in pairs)
is_same = error <= 1e-4 and images_apart < 3.5
seconds = {"gpu": statistics.median(gpu["seconds"]), "cpu": statistics.median(cpu["seconds"])}
print(json.dumps({"work": work, "device": device, "lines": gpu["lines"], "points": len(pairs), "seconds": seconds,
                  "largest_error": error if error < float("inf") else None, "images_apart": images_apart, "same": is_same}), flush=True)
sys.exit(0 if is_same else f"gpu-check: {work}: losses differ by {error:.1e}, accuracies by {images_apart:.1f} images")
PYTHON
}

check mlp fashion-mnist 10000
check lenet5 fashion-mnist 10000
check resnet20 cifar10 1000
exit $failed
