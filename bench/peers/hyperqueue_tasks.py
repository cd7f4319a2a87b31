"""No-op tasks through HyperQueue: a server, and a worker with all cores, in this process; prints how long they took.

Its wheel has the server and the worker as a library. Each task is the program `true`, the smallest that the released
version runs, with nowhere to write; the journal, which would make tasks survive a restart, is off, as it is by default.
"""

import argparse
import json
import tempfile
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

parser = argparse.ArgumentParser()
parser.add_argument("--tasks", type=int, required=True)
parser.add_argument("--threads", type=int, required=True, help="cores of the worker")
arguments = parser.parse_args()


def job(tasks: int) -> Job:
    made = Job(max_fails=0)
    for _ in range(tasks):
        made.program(["/bin/true"], stdout=None, stderr=None)
    return made


with tempfile.TemporaryDirectory() as folder, LocalCluster(folder) as cluster:
    cluster.start_worker(WorkerConfig(cores=arguments.threads))
    client = cluster.client()
    client.wait_for_jobs([client.submit(job(10))])
    made = job(arguments.tasks)
    began = time.perf_counter()
    submitted = client.submit(made)
    # Raises if one of them failed.
    done = client.wait_for_jobs([submitted])
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "tasks": arguments.tasks, "is_done": bool(done)}))
