"""Many small runs, start to finish: what everything around the training costs."""

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from work import BIN, PEERS, Work, close_enough, ours, theirs, thread_counts

SWEEP = """
name = "small"

[data]
set = "fashion-mnist"
train_size = {images}
test_size = {images}

[model]
architecture = "mlp"
mlp.widths = [{width}]

[train]
seed = "0..{seeds}"
optimizer = {{ name = "sgd", lr = {lr}, momentum = {momentum} }}
epochs = {epochs}
batch_size = {batch_size}

[[probe]]
kind = "line"
layers = ["all"]
alphas = {{ start = 0.0, stop = 1.0, count = {alphas} }}
splits = ["test"]
"""


class Small(Work):
    name = "sweep-small"
    question = "How long do 200 runs of a small network take on 2 workers, start to finish?"
    unit = "s"
    target = 1.5
    runs = 3
    parameters = {
        "seeds": 200, "workers": 2, "images": 2000, "width": 64, "epochs": 2, "batch_size": 64, "alphas": 11,
        "lr": 0.05, "momentum": 0.9,
    }

    def prepare(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        sizes = {name: getattr(self, name) for name in self.parameters}
        (self.folder / "small.toml").write_text(SWEEP.format(**sizes))
        self.architecture = json.dumps({"architecture": "mlp", "widths": [self.width]})
        subject = ["--architecture", self.architecture, "--images", self.images, "--seeds", self.seeds]
        shapes = ours("runs", *subject, "--epochs", self.epochs, "--write", self.folder / "runs.safetensors")
        (self.folder / "shapes.json").write_text(json.dumps(shapes))

    def peer_options(self):
        return [
            "--architecture", self.architecture, "--file", self.folder / "runs.safetensors",
            "--shapes", self.folder / "shapes.json", "--batch-size", self.batch_size, "--alphas", self.alphas,
            "--lr", self.lr, "--momentum", self.momentum,
        ]

    def check(self):
        self.ours()
        mine = dict(self.lines())
        peer = theirs("sweep_torch.py", *self.peer_options(), "--seeds", 3)["losses"]
        for seed in range(3):
            for i, loss in enumerate(peer[str(seed)]):
                close_enough(f"loss of seed {seed} at alpha {i}/{self.alphas - 1}", mine[seed, i], loss, 2e-3)
        if len(mine) != self.seeds * self.alphas:
            raise RuntimeError(f"{len(mine)} points of {self.seeds * self.alphas}")

    def lines(self):
        """((seed, place on the grid), loss) of every point of the last sweep."""
        with sqlite3.connect(self.folder / "home/transect.db") as database:
            for seed, alpha, loss in database.execute("SELECT seed, alpha, loss FROM line_points"):
                yield (seed, round(alpha * (self.alphas - 1))), loss

    def ours(self):
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        command = [BIN / "transect", "--home", home, "run", self.folder / "small.toml", "--no-plots"]
        began = time.perf_counter()
        subprocess.run([*command, "--workers", str(self.workers)], check=True, capture_output=True)
        return time.perf_counter() - began

    def close(self):
        if hasattr(self, "scratch"):
            self.scratch.cleanup()


class Loop(Small):
    peer = "a loop in one process, PyTorch 2.11.0"

    def prepare(self):
        super().prepare()
        self.threads = min(thread_counts(), key=lambda threads: self.loop(threads, self.seeds // 10))

    def loop(self, threads, seeds):
        began = time.perf_counter()
        theirs("sweep_torch.py", *self.peer_options(), "--seeds", seeds, threads=threads)
        return time.perf_counter() - began

    def theirs(self):
        return self.loop(self.threads, self.seeds)

    def extra(self):
        return {"threads": [1, self.threads]}


class HyperQueue(Small):
    peer = "HyperQueue 0.27.0, each run a task that starts Python"
    runs = 1

    def theirs(self):
        from hyperqueue import Job, LocalCluster
        from hyperqueue.cluster import WorkerConfig

        options = [str(option) for option in self.peer_options()]
        began = time.perf_counter()
        with LocalCluster() as cluster:
            for _ in range(self.workers):
                cluster.start_worker(WorkerConfig(cores=1))
            client, job = cluster.client(), Job(default_env={"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
            for seed in range(self.seeds):
                out = self.folder / f"losses-{seed}.json"
                command = [sys.executable, str(PEERS / "sweep_torch.py"), *options, "--seed", str(seed), "--out", str(out)]
                job.program(command, stdout=None, stderr=None)
            client.wait_for_jobs([client.submit(job)])
            seconds = time.perf_counter() - began
        if any(not (self.folder / f"losses-{seed}.json").exists() for seed in range(self.seeds)):
            raise RuntimeError("not every task left its losses")
        return seconds


WORKS = [Loop(), HyperQueue()]
