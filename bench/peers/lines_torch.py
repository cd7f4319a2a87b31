"""The lines of a run in PyTorch, as someone who cares about speed writes the loop: data in memory, inference_mode, and the
batch size and memory format that are fastest here. Line by line, alpha by alpha, batch by batch.

Prints what `transect-bench lines` prints, and which variant it was.
"""

import argparse
import itertools
import json
import time

import torch
import torch.nn.functional as F
from modules import network
from safetensors.torch import load_file


@torch.inference_mode()
def evaluate(module, x, y, batch_size):
    """Mean loss, summed in f64, and accuracy."""
    loss, right = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
    for images, labels in zip(x.split(batch_size), y.split(batch_size)):
        logits = module(images)
        loss += F.cross_entropy(logits.double(), labels, reduction="sum")
        right += (logits.argmax(1) == labels).sum()
    return (loss / len(y)).item(), (right / len(y)).item()


@torch.inference_mode()
def walk(module, start, end, lines, x, y, batch_size):
    """All points: number of the line, index, loss, accuracy."""
    points, own = [], module.state_dict()
    for number, line in enumerate(lines):
        for name, tensor in own.items():
            if name in end:
                tensor.copy_(end[name])
        for index, alpha in enumerate(line["alphas"]):
            for name in line["moving"]:
                own[name].copy_(torch.lerp(start[name], end[name], alpha))
            points.append([number, index, *evaluate(module, x, y, batch_size)])
    return points


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--architecture", default="mlp")
    parser.add_argument("--file", required=True, help="what transect-bench lines --write wrote")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variant", help="channels_last or contiguous, and a batch size: contiguous,500")
    parser.add_argument("--trial", action="store_true", help="only find the best variant, and its seconds for one pass")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    tensors = load_file(arguments.file)
    with open(arguments.file.removesuffix(".safetensors") + ".json") as file:
        lines = json.load(file)
    part = lambda name: {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}
    start, end, x, y = part("from."), part("to."), tensors["x"], tensors["y"]

    def prepared(layout):
        memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        module = network(arguments.architecture, end, x.shape[1], int(y.max()) + 1).eval().to(memory_format=memory)
        return module, x.to(memory_format=memory)

    def trial(variant):
        module, images = prepared(variant[0])
        few = min(len(y), 2000)
        def seconds():
            began = time.perf_counter()
            evaluate(module, images[:few], y[:few], int(variant[1]))
            return time.perf_counter() - began
        return min(seconds() for _ in range(3)) / few * len(y)

    if arguments.variant:
        variant, pass_seconds = tuple(arguments.variant.split(",")), None
    else:
        layouts = ["contiguous"] if arguments.architecture == "mlp" else ["contiguous", "channels_last"]
        timed = {v: trial(v) for v in itertools.product(layouts, ["50", "100", "250", "500", "1000"])}
        variant = min(timed, key=timed.get)
        pass_seconds = timed[variant]
    found = {"variant": ",".join(variant), "pass_seconds": pass_seconds}
    if not arguments.trial:
        module, images = prepared(variant[0])
        found["seconds"] = []
        for _ in range(arguments.repeat):
            began = time.perf_counter()
            found["points"] = walk(module, start, end, lines, images, y, int(variant[1]))
            found["seconds"].append(time.perf_counter() - began)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
