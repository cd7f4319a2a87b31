"""The runs of `sweep-small` in PyTorch: each is trained, then measured on the line from its start to its end.

As a loop in one process, or one run of it (--seed), as a task of a scheduler does it. Prints, for each run, the losses
along its line.
"""

import argparse
import json

import torch
import torch.nn.functional as F
from modules import network
from safetensors import safe_open


def line(run, seed, shapes, file, arguments):
    """Losses at each alpha on the test images."""
    theta = file.get_slice("theta")[seed]
    sizes = [torch.Size(shape) for shape in shapes.values()]
    state = dict(zip(shapes, (part.view(size) for part, size in zip(theta.split([s.numel() for s in sizes]), sizes))))
    x, y, test_x, test_y = run
    module = network(arguments.architecture, state, x.shape[1])
    optimizer = torch.optim.SGD(module.parameters(), lr=arguments.lr, momentum=arguments.momentum)
    start = [p.detach().clone() for p in module.parameters()]
    for order in file.get_slice("orders")[seed]:
        for places in order.split(arguments.batch_size):
            loss = F.cross_entropy(module(x[places]), y[places])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    end = [p.detach().clone() for p in module.parameters()]
    losses = []
    with torch.inference_mode():
        for i in range(arguments.alphas):
            alpha = i / (arguments.alphas - 1)
            for p, a, b in zip(module.parameters(), start, end):
                p.copy_(torch.lerp(a, b, alpha))
            losses.append(F.cross_entropy(module(test_x).double(), test_y).item())
    return losses


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--file", required=True, help="what transect-bench runs wrote")
    parser.add_argument("--shapes", required=True, help="a JSON file of what it printed")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--alphas", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--momentum", type=float, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="a file for the losses, for a task whose output nobody reads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with open(arguments.shapes) as file:
        shapes = json.load(file)["shapes"]
    seeds = [arguments.seed] if arguments.seed is not None else range(arguments.seeds)
    with safe_open(arguments.file, "pt") as file:
        run = [file.get_tensor(name) for name in ("x", "y", "test_x", "test_y")]
        losses = {seed: line(run, seed, shapes, file, arguments) for seed in seeds}
    if arguments.out:
        with open(arguments.out, "w") as out:
            json.dump(losses, out)
    print(json.dumps({"losses": losses}))


if __name__ == "__main__":
    main()
