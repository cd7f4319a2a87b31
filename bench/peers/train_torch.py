"""An epoch of training in PyTorch, as someone who cares about speed writes it: data in memory, no call that waits for a
number inside an epoch, the optimiser's implementation and the memory format that are fastest here.

Prints what `transect-bench train` prints, and which variant it was.
"""

import argparse
import itertools
import json
import time

import torch
import torch.nn.functional as F
from modules import network
from safetensors.torch import load_file


def epoch(module, optimizer, x, y, order, batch_size):
    """Mean loss and accuracy of the epoch, and its seconds."""
    began = time.perf_counter()
    loss_sum, right = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
    for places in order.split(batch_size):
        images, labels = x[places], y[places]
        logits = module(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(places)
        right += (logits.argmax(1) == labels).sum()
    numbers = (loss_sum / len(order)).item(), (right / len(order)).item()
    return *numbers, time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--architecture", default="mlp")
    parser.add_argument("--file", required=True, help="what transect-bench train --write wrote")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variant", help="channels_last or contiguous, and for-loop, foreach or fused: contiguous,fused")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    state = load_file(arguments.file)
    x, y, orders = (state.pop(name) for name in ("x", "y", "orders"))

    def prepared(layout, optimizer):
        memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        module = network(arguments.architecture, state, x.shape[1], int(y.max()) + 1).to(memory_format=memory)
        settings = {"lr": arguments.lr, "momentum": arguments.momentum, "weight_decay": arguments.weight_decay}
        implementation = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}[optimizer]
        return module, torch.optim.SGD(module.parameters(), **settings, **implementation), x.to(memory_format=memory)

    def trial(variant):
        module, optimizer, images = prepared(*variant)
        few = orders[0][: 20 * arguments.batch_size]
        return min(epoch(module, optimizer, images, y, few, arguments.batch_size)[2] for _ in range(3))

    if arguments.variant:
        variant = tuple(arguments.variant.split(","))
    else:
        layouts = ["contiguous"] if x.shape[1] == 1 and arguments.architecture == "mlp" else ["contiguous", "channels_last"]
        variant = min(itertools.product(layouts, ["for-loop", "foreach", "fused"]), key=trial)
    module, optimizer, images = prepared(*variant)
    epochs = [epoch(module, optimizer, images, y, order, arguments.batch_size) for order in orders[: arguments.repeat + 1]]
    losses, accuracies, seconds = zip(*epochs)
    print(json.dumps({"seconds": seconds[1:], "loss": losses, "accuracy": accuracies, "variant": ",".join(variant)}))


if __name__ == "__main__":
    main()
