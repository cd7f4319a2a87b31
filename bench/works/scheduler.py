"""The scheduler: jobs and points a second that a coordinator takes in, on the disk when it answers. A rate is promised, not how it
compares with the peer.

Ours is the real coordinator, as a process of its own on a new database, with SQLite's `synchronous = FULL` or Postgres'
`fsync` and `synchronous_commit` on; simulated workers lease and report over gRPC from a process beside it on the same machine
(`transect-scale throughput`). The smallest job there is is a line of two points, made up here; it counts as done once its
points and its end are committed and answered. The program itself checks that every job is done and every point is there.
"""

import csv
import math
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

from work import BIN, Differ, Skip, Work, close_enough, measured, theirs


def throughput(store: str, *arguments) -> dict:
    """What `transect-scale throughput` says of one new database."""
    return measured([BIN / "transect-scale", "throughput", "--store", store, *arguments])


class Jobs(Work):
    """Peer: HyperQueue as its wheel has it, a server and a worker with all cores, which runs `true` for each task. The released
    version has no worker that runs nothing, so most of its time is the start of processes, which a worker of ours does not
    do for each job. It keeps no journal, and nothing on the disk."""

    unit = "jobs/s"
    better = "higher"
    peer = "HyperQueue 0.27.0, tasks that run `true`"
    runs = 3
    target = 0

    def __init__(self, store: str, floor: float, jobs: int):
        self.name, self.store, self.floor = f"jobs-{store}", store, floor
        self.question = f"How many no-op jobs a second, leased to committed result, go through {store}?"
        self.parameters = {"jobs": jobs, "tasks": 2_000, "workers": 4}
        super().__init__()

    def prepare(self):
        self.last = {}

    def check(self):
        few = throughput(self.store, "--count", 1_000, "--workers", self.workers)
        peer = theirs("hyperqueue_tasks.py", "--tasks", 100, threads=os.cpu_count())
        if few["jobs"] != 1_000 or not peer["is_done"]:
            raise Differ(f"of 1000 jobs {few['jobs']} are done; HyperQueue's tasks: {peer}")

    def ours(self) -> float:
        self.last = throughput(self.store, "--count", self.jobs, "--workers", self.workers)
        return self.last["jobs_per_second"]

    def theirs(self) -> float:
        peer = theirs("hyperqueue_tasks.py", "--tasks", self.tasks, threads=os.cpu_count())
        return peer["tasks"] / peer["seconds"]

    def extra(self) -> dict:
        return overhead(self.last)


class Points(Work):
    """Peer: the very rows that ours stored, into a table of the same columns and primary key, by what the database itself
    has for files: `.import` of SQLite's own program, `COPY` from a file on the server. Neither checks what a point belongs
    to, whether its attempt still holds the job, or counts anything; both get their rows from a file instead of a socket."""

    unit = "points/s"
    better = "higher"
    runs = 3
    target = 0

    def __init__(self, store: str, floor: float, jobs: int):
        self.name, self.store, self.floor = f"points-{store}", store, floor
        self.peer = {"sqlite": "SQLite's own .import", "postgres": "Postgres' COPY"}[store]
        self.question = f"How many points a second, on the disk, does {store} take in?"
        self.parameters = {"jobs": jobs, "alphas": 101, "splits": 2, "workers": 4}
        super().__init__()

    def prepare(self):
        if self.store == "sqlite" and not shutil.which("sqlite3"):
            raise Skip("SQLite's program is missing: apt-get install sqlite3")
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        # The server's user reads the rows.
        self.folder.chmod(0o755)
        self.rows = self.folder / "rows.csv"
        self.last = self._ours("--rows", self.rows)

    def _ours(self, *more) -> dict:
        sizes = ["--count", self.jobs, "--alphas", self.alphas, "--splits", self.splits, "--workers", self.workers]
        return throughput(self.store, *sizes, *more)

    def _theirs(self) -> dict:
        """Seconds, rows, sum of the losses."""
        if self.store == "postgres":
            return measured([BIN / "transect-scale", "copy", "--rows", self.rows])
        return imported(self.folder / "peer.db", self.rows)

    def check(self):
        with self.rows.open() as file:
            losses = [float(row[4]) for row in csv.reader(file)]
        peer = self._theirs()
        if not peer["rows"] == len(losses) == self.last["points"]:
            raise Differ(f"ours stored {self.last['points']}, {len(losses)} were read from it, the peer has {peer['rows']}")
        close_enough("the sum of all losses", math.fsum(losses), peer["loss"], 1e-9)

    def ours(self) -> float:
        self.last = self._ours()
        return self.last["points_per_second"]

    def theirs(self) -> float:
        peer = self._theirs()
        return peer["rows"] / peer["seconds"]

    def extra(self) -> dict:
        return overhead(self.last)

    def close(self):
        if hasattr(self, "scratch"):
            self.scratch.cleanup()


#: The columns and the key of ours, without its references and checks.
TABLE = """
CREATE TABLE points (
    job INTEGER NOT NULL, split TEXT NOT NULL, place INTEGER NOT NULL, alpha REAL NOT NULL, loss REAL,
    accuracy REAL NOT NULL, count INTEGER NOT NULL, worker INTEGER NOT NULL, PRIMARY KEY (job, split, place)
) STRICT, WITHOUT ROWID;
"""


def imported(database: Path, rows: Path) -> dict:
    """Has SQLite's own program import rows into a new database, as durable as ours."""
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()
    durable = "PRAGMA journal_mode = wal;\nPRAGMA synchronous = full;\n"
    subprocess.run(["sqlite3", database], input=durable + TABLE, text=True, check=True, capture_output=True)
    commands = f"{durable}.mode csv\n.import {rows} points\n"
    began = time.perf_counter()
    subprocess.run(["sqlite3", "-bail", database], input=commands, text=True, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    with sqlite3.connect(database) as connection:
        number, loss = connection.execute("SELECT count(*), sum(loss) FROM points").fetchone()
    return {"seconds": seconds, "rows": number, "loss": loss}


def overhead(last: dict) -> dict:
    """What one job takes beside one synced write of the same disk."""
    names = ["cpu_us_per_job", "cpu_us_per_job_database", "synced_write_us", "job_over_synced_write", "jobs_per_second"]
    return {name: last[name] for name in [*names, "points_per_second"]}


WORKS = [
    Jobs("sqlite", floor=15_000, jobs=100_000),
    Jobs("postgres", floor=5_000, jobs=50_000),
    Points("sqlite", floor=200_000, jobs=5_000),
    Points("postgres", floor=100_000, jobs=5_000),
]
