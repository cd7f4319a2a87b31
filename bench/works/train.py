"""An epoch of training against PyTorch's eager mode: the same network, start, images and batches."""

import statistics
import tempfile
from pathlib import Path

from work import Work, cifar, close_enough, ours, share_of_peak, theirs, thread_counts


class Epoch(Work):
    unit = "s"
    peer = "PyTorch 2.11.0 eager"
    runs = 5

    def __init__(self, name, question, target, **parameters):
        self.name, self.question, self.target = name, question, target
        self.parameters = {"images": 10_000, "batch_size": 128, "repeat": 2, "data": None, "threads": 0, **parameters}
        super().__init__()

    def prepare(self):
        self.scratch = tempfile.TemporaryDirectory()
        folder = Path(self.scratch.name)
        if self.set_name.startswith("cifar"):
            (folder / self.set_name).symlink_to(cifar(self.data))
        self.file = folder / "epoch.safetensors"
        self.common = ["--architecture", self.architecture, "--batch-size", self.batch_size]
        data = folder if self.set_name.startswith("cifar") or not self.data else self.data
        self.subject = ["--data", self.set_name, "--folder", data, "--images", self.images]
        self._ours(thread_counts()[-1], self.repeat, "--write", self.file)
        self.threads_ours = self._best(self._ours)
        self.threads_theirs = self._best(self._theirs)
        self.variant = self._theirs(self.threads_theirs, 1)["variant"]

    def _best(self, measure) -> int:
        """The thread count that is fastest here, unless `--set threads=` names one."""
        if self.threads:
            return self.threads
        return min(thread_counts(), key=lambda threads: min(measure(threads, 1)["seconds"]))

    def _ours(self, threads, repeat, *more):
        return ours("train", *self.common, *self.subject, "--repeat", repeat, *more, threads=threads)

    def _theirs(self, threads, repeat, *more):
        return theirs("train_torch.py", *self.common, "--file", self.file, "--repeat", repeat, *more, threads=threads)

    def check(self):
        # Rounding differs, and training amplifies it: less so with small steps.
        slowly = ["--lr", 0.001]
        mine = self._ours(self.threads_ours, 1, *slowly)
        peer = self._theirs(self.threads_theirs, 1, "--variant", self.variant, *slowly)
        for epoch in range(2):
            close_enough(f"mean training loss of epoch {epoch + 1}", mine["loss"][epoch], peer["loss"][epoch], 1e-3)
            close_enough(f"accuracy of epoch {epoch + 1}", mine["accuracy"][epoch], peer["accuracy"][epoch], 1e-2)

    def ours(self):
        return statistics.median(self._ours(self.threads_ours, self.repeat)["seconds"])

    def theirs(self):
        measured = self._theirs(self.threads_theirs, self.repeat, "--variant", self.variant)
        return statistics.median(measured["seconds"])

    def extra(self):
        measured = self._ours(self.threads_ours, self.repeat)
        share = share_of_peak(measured, self.threads_ours)
        return {"threads": [self.threads_ours, self.threads_theirs], "variant": self.variant, "share_of_peak": share}

    def close(self):
        if hasattr(self, "scratch"):
            self.scratch.cleanup()


def work(name, architecture, set_name, target, **sizes):
    question = f"How long does one epoch of {architecture} on {set_name} take?"
    return Epoch(name, question, target, architecture=architecture, set_name=set_name, **sizes)


WORKS = [
    work("train-mlp", "mlp", "fashion-mnist", 1.3, images=60_000),
    work("train-lenet5", "lenet5", "fashion-mnist", 1.1),
    work("train-resnet20", "resnet20", "cifar10", 1.0, images=1_000),
]
