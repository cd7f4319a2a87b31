#!/usr/bin/env python3
"""How costs grow with the work: the exponent b of seconds = a x size^b, fitted through a few sizes.

    bench/growth.py                   alphas, layers, images, seeds
    bench/growth.py alphas layers     some of them

Each gives a line in bench/results/bench.jsonl and a row in docs/performance.md.
"""

import argparse
import datetime
import json
import math
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from run import PAGE, RESULTS, machine
from work import BIN, ours, thread_counts

BEGIN, END = "<!-- growth: written by bench/growth.py -->", "<!-- end of growth -->"

SWEEP = """
name = "growth"
[data]
set = "fashion-mnist"
train_size = 1000
test_size = 1000
[model]
architecture = "mlp"
mlp.widths = [32]
[train]
seed = "0..{seeds}"
epochs = 1
[[probe]]
kind = "line"
layers = ["all", "each"]
alphas = {{ start = 0.0, stop = 1.0, count = 11 }}
splits = ["test"]
"""


def lines(*arguments) -> float:
    measured = ours("lines", "--repeat", 3, *arguments, threads=thread_counts()[-1])
    return statistics.median(measured["seconds"])


def deep(layers: int) -> str:
    return json.dumps({"architecture": "mlp", "widths": [128] * (layers - 1)})


def sweep(seeds: int) -> float:
    """Start to finish of `transect run`, in an empty home."""
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "growth.toml").write_text(SWEEP.format(seeds=seeds))
        command = [BIN / "transect", "--home", folder / "home", "run", folder / "growth.toml", "--no-plots"]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began
    finally:
        shutil.rmtree(folder)


WORKS = {
    "alphas": ("one-layer lines of lenet5, 2,000 images", [11, 31, 101], lambda n: lines("--architecture", "lenet5", "--images", 2000, "--alphas", n)),
    "layers": ("one-layer lines of a deep MLP, 11 alphas, 5,000 images", [5, 16, 50], lambda n: lines("--architecture", deep(n), "--images", 5000)),
    "images": ("one-layer lines of lenet5, 5 alphas, training images", [1000, 8000, 60_000], lambda n: lines("--architecture", "lenet5", "--alphas", 5, "--split", "train", "--images", n)),
    "seeds": ("a sweep of small networks, start to finish", [1, 10, 100], sweep),
}


def exponent(points: list) -> float:
    """Least squares in logarithms."""
    x, y = ([math.log(value) for value in column] for column in zip(*points))
    mean_x, mean_y = statistics.mean(x), statistics.mean(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def write_page():
    found = {}
    for text in RESULTS.read_text().splitlines():
        line = json.loads(text)
        if line["work"].startswith("growth-"):
            found[line["work"]] = line
    rows = ["| as it grows | of what | seconds | exponent |", "|---|---|---|---|"]
    for line in found.values():
        seconds = ", ".join(f"{size:,}: {value:.3g}" for size, value in line["points"])
        rows.append(f"| {line['work'].removeprefix('growth-')} | {line['question']} | {seconds} | {line['exponent']:.2f} |")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(rows) + "\n" + END + after)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", choices=[*WORKS, []], metavar="WORK")
    for name in parser.parse_args().works or WORKS:
        question, sizes, measure = WORKS[name]
        points = []
        for size in sizes:
            points.append([size, measure(size)])
            print(f"{name} {size}: {points[-1][1]:.4g} s", flush=True)
        date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = {"work": f"growth-{name}", "question": question, "exponent": exponent(points), "points": points, "unit": "s"}
        with RESULTS.open("a") as file:
            file.write(json.dumps({**line, "machine": machine(), "date": date}) + "\n")
    write_page()


if __name__ == "__main__":
    main()
