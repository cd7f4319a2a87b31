"""How long someone waits for a first number."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from work import BIN, Work

SWEEP = """
name = "one"

[data]
set = "fashion-mnist"
train_size = 1000

[model]
architecture = "mlp"

[train]
seed = 0
epochs = 1

[[probe]]
kind = "line"
layers = ["all"]
alphas = { start = 0.0, stop = 1.0, count = 5 }
splits = ["test"]
subset = 1000
"""


class Start(Work):
    name = "start"
    question = "How long does `transect run` of a one-run sweep take, in an empty home, until its first point is stored?"
    peer = 'python -c "import torch", PyTorch 2.11.0'
    unit = "s"
    target = 1.0
    runs = 7

    def prepare(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        (self.folder / "one.toml").write_text(SWEEP)

    def check(self):
        """Nothing to compare; this warms the files of both sides."""
        self.ours()
        self.theirs()

    def ours(self):
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        command = [BIN / "transect", "--home", home, "run", self.folder / "one.toml", "--no-plots"]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while not has_point(home / "transect.db"):
            if process.poll() not in (None, 0):
                raise RuntimeError(process.stderr.read())
            time.sleep(0.002)
        seconds = time.perf_counter() - began
        process.communicate()
        return seconds

    def theirs(self):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        return time.perf_counter() - began

    def close(self):
        if hasattr(self, "scratch"):
            self.scratch.cleanup()


def has_point(path: Path) -> bool:
    """Whether a point is committed; a database that is not there yet, or not whole, has none."""
    if not path.exists():
        return False
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            return database.execute("SELECT 1 FROM points LIMIT 1").fetchone() is not None
    except sqlite3.OperationalError:
        return False


WORKS = [Start()]
