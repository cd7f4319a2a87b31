"""Lines of a run against the loop that people write, and against the `loss-landscapes` package: the same ends, images and points."""

import statistics
import tempfile
from pathlib import Path

from work import Differ, Work, cifar, close_enough, ours, share_of_peak, theirs, thread_counts


class Lines(Work):
    """Ours on all cores of the machine; the peer with the number of threads, batch size and memory format that suit it best."""

    unit = "s"
    script = "lines_torch.py"

    def __init__(self, name, question, peer, target, **parameters):
        self.name, self.question, self.peer, self.target = name, question, peer, target
        usual = {"images": 10_000, "masks": "each", "alphas": 11, "batch_norm": "interpolate", "data": None, "threads": 0}
        self.parameters = {**usual, "from_file": None, "to_file": None, "tolerance": 1e-5, **parameters}
        super().__init__()

    def prepare(self):
        self.scratch = tempfile.TemporaryDirectory()
        folder = Path(self.scratch.name)
        if self.set_name.startswith("cifar"):
            (folder / self.set_name).symlink_to(cifar(self.data))
        self.file = folder / "lines.safetensors"
        data = folder if self.set_name.startswith("cifar") or not self.data else self.data
        ends = [part for end in ("from", "to") if getattr(self, f"{end}_file") for part in (f"--{end}", getattr(self, f"{end}_file"))]
        self.arguments = ["--architecture", self.architecture, "--data", self.set_name, "--folder", data]
        self.arguments += ["--images", self.images, "--masks", self.masks, "--alphas", self.alphas]
        self.arguments += ["--batch-norm", self.batch_norm, *ends]
        self.threads_ours = self.threads or thread_counts()[-1]
        self.mine = self._ours("--repeat", 1, "--write", self.file)
        trial = lambda threads: theirs("lines_torch.py", *self._peer(), "--trial", threads=threads)
        trials = {threads: trial(threads) for threads in ([self.threads] if self.threads else thread_counts())}
        self.threads_theirs = min(trials, key=lambda threads: trials[threads]["pass_seconds"])
        self.variant = trials[self.threads_theirs]["variant"]

    def _ours(self, *more):
        return ours("lines", *self.arguments, *more, threads=self.threads_ours)

    def _peer(self):
        return ["--architecture", self.architecture, "--file", self.file]

    def _theirs(self):
        return theirs(self.script, *self._peer(), "--variant", self.variant, threads=self.threads_theirs)

    def check(self):
        self.first = self._theirs()
        truth = {tuple(point[:2]): point[2:] for point in self.first["points"]}
        mine = {tuple(point[:2]): point[2:] for point in self.mine["points"]}
        if truth.keys() != mine.keys():
            raise Differ(f"ours has {len(mine)} points, theirs {len(truth)}")
        for place, (loss, accuracy) in truth.items():
            close_enough(f"loss of line {place[0]} at point {place[1]}", mine[place][0], loss, self.tolerance)
            # A pair of logits that are equal to rounding may change places.
            if abs(mine[place][1] - accuracy) > 2.5 / self.images:
                raise Differ(f"accuracy of line {place[0]} at point {place[1]}: ours is {mine[place][1]}, theirs is {accuracy}")

    def ours(self):
        return statistics.median(self._ours("--repeat", 3)["seconds"])

    def theirs(self):
        if first := self.__dict__.pop("first", None):
            return first["seconds"][0]
        return self._theirs()["seconds"][0]

    def extra(self):
        measured = self._ours("--repeat", 3)
        share = share_of_peak(measured, self.threads_ours)
        return {"threads": [self.threads_ours, self.threads_theirs], "variant": self.variant, "share_of_peak": share}

    def close(self):
        if hasattr(self, "scratch"):
            self.scratch.cleanup()


class WholeByPackage(Lines):
    """Its walk keeps the start's batch-norm statistics; both ends have the same here, so the points are the same."""

    script = "lines_loss_landscapes.py"


LOOP, PACKAGE = "a plain loop in PyTorch 2.11.0", "loss-landscapes 3.0.6"


def layers(architecture, set_name, target, **sizes):
    question = f"How long do all one-layer lines of {architecture} on {set_name} take?"
    return Lines(f"layers-{architecture}", question, LOOP, target, architecture=architecture, set_name=set_name, **sizes)


def whole(kind, peer, architecture, set_name, target, **sizes):
    question = f"How long does the whole line of {architecture} on {set_name} take, at 25 points?"
    sizes = {"masks": "all", "alphas": 25, "architecture": architecture, "set_name": set_name, **sizes}
    return kind(f"whole-{architecture}", question, peer, target, **sizes)


WORKS = [
    layers("mlp", "fashion-mnist", 6.0),
    layers("lenet5", "fashion-mnist", 6.0, runs=3),
    layers("resnet20", "cifar10", 4.0, images=1_000, runs=1),
    whole(Lines, LOOP, "lenet5", "fashion-mnist", 1.1),
    whole(WholeByPackage, PACKAGE, "lenet5", "fashion-mnist", 2.0),
    whole(Lines, LOOP, "resnet20", "cifar10", 1.3, images=1_000, runs=3),
    whole(WholeByPackage, PACKAGE, "resnet20", "cifar10", 2.0, images=1_000, runs=3),
]
