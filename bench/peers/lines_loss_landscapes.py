"""The whole line by the `loss-landscapes` package: its own walk, and a metric that evaluates in batches without gradients."""

import argparse
import json
import time

import loss_landscapes
import torch
from lines_torch import evaluate
from loss_landscapes.metrics import Metric
from loss_landscapes.model_interface.model_wrapper import wrap_model
from modules import network
from safetensors.torch import load_file


class LossAndAccuracy(Metric):
    def __init__(self, x, y, batch_size):
        super().__init__()
        self.x, self.y, self.batch_size = x, y, batch_size

    def __call__(self, wrapper):
        return evaluate(wrapper.modules[0], self.x, self.y, self.batch_size)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--architecture", default="mlp")
    parser.add_argument("--file", required=True, help="what transect-bench lines --write wrote, with `all` as its only line")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variant", required=True, help="channels_last or contiguous, and a batch size: contiguous,500")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    tensors = load_file(arguments.file)
    with open(arguments.file.removesuffix(".safetensors") + ".json") as file:
        [line] = json.load(file)
    layout, batch_size = arguments.variant.split(",")
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    y, x = tensors["y"], tensors["x"].to(memory_format=memory)

    def module(name):
        state = {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}
        return network(arguments.architecture, state, x.shape[1], int(y.max()) + 1).eval().to(memory_format=memory)

    found = {"variant": arguments.variant, "seconds": []}
    for _ in range(arguments.repeat):
        start, end = module("from."), module("to.")
        metric = LossAndAccuracy(x, y, int(batch_size))
        began = time.perf_counter()
        # The package steps before it looks: its first point is one step from the start, its last the end.
        at_start = metric(wrap_model(start))
        values = loss_landscapes.linear_interpolation(start, end, metric, steps=len(line["alphas"]) - 1)
        found["seconds"].append(time.perf_counter() - began)
        found["points"] = [[0, index, *value] for index, value in enumerate([at_start, *values.tolist()])]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
