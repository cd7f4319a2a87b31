#!/usr/bin/env python3
"""Runs benchmarks: ours and the peer's in turn, after checking that both give the same results.

    bench/run.py                                          every work in bench/works
    bench/run.py 'train-*' --runs 3                       those of a name, or of a pattern
    bench/run.py layers-lenet5 --set images=5000          with other sizes than the work's own
    bench/run.py --list                                   names, questions, peers and sizes

Each gives one line in bench/results/bench.jsonl; with a work's own sizes it also gets a row in docs/performance.md.
"""

import argparse
import datetime
import fnmatch
import importlib
import json
import os
import platform
import statistics
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from work import ROOT, Differ, Skip, Work  # noqa: E402

RESULTS = ROOT / "bench/results/bench.jsonl"
PAGE = ROOT / "docs/performance.md"
BEGIN, END = "<!-- figures: written by `make bench` -->", "<!-- end of figures -->"


def discovered() -> list[Work]:
    """The works of every module in bench/works, each module's `WORKS`."""
    modules = sorted(path.stem for path in (ROOT / "bench/works").glob("*.py") if not path.stem.startswith("_"))
    return [work for module in modules for work in importlib.import_module(f"works.{module}").WORKS]


def chosen(works: list[Work], patterns: list[str]) -> list[Work]:
    unknown = [p for p in patterns if not any(fnmatch.fnmatchcase(work.name, p) for work in works)]
    if unknown:
        names = sorted({work.name for work in works})
        raise SystemExit(f"bench: no work is called {', '.join(unknown)}; there are: {', '.join(names)}")
    return [work for work in works if not patterns or any(fnmatch.fnmatchcase(work.name, p) for p in patterns)]


def machine() -> str:
    """`AMD EPYC, 2 cores, 24 GiB`."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"


def measure(work: Work, runs: int) -> dict:
    """The JSON line of a work: checked, measured alternately, medians taken."""
    try:
        work.prepare()
        work.check()
        ours, theirs = [], []
        for i in range(runs):
            # Whoever comes second finds a warmer machine, so each is that half of the time.
            for side, into in [(work.ours, ours), (work.theirs, theirs)][:: 1 if i % 2 == 0 else -1]:
                into.append(side())
                print(f"  {'ours' if into is ours else 'theirs':6} {into[-1]:.4g} {work.unit}", flush=True)
        extra = work.extra()
    finally:
        work.close()
    a, b = statistics.median(ours), statistics.median(theirs)
    ratio = b / a if work.better == "lower" else a / b
    line = {
        "work": work.name,
        "peer": work.peer,
        "ratio": ratio,
        "ours": a,
        "theirs": b,
        "unit": work.unit,
        "runs": runs,
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "target": work.target,
        "spread": [min(ours), max(ours), min(theirs), max(theirs)],
    }
    if work.floor is not None:
        line["floor"] = work.floor
    sizes = {name: getattr(work, name) for name in work.parameters if getattr(work, name) != work.parameters[name]}
    return {**line, **({"sizes": sizes} if sizes else {}), **extra}


def is_missed(line: dict) -> bool:
    """Whether a promise is broken: against the peer, or of a rate by itself."""
    return line["ratio"] < line["target"] or line["ours"] < line.get("floor", 0)


def table(lines: list[dict]) -> list[str]:
    rows = ["| work | peer | ours | theirs | times better | at least | | of the limit |", "|---|---|---|---|---|---|---|---|"]
    for line in lines:
        verdict = "**missed**" if is_missed(line) else ""
        ours, theirs = (f"{line[side]:.4g} {line['unit']}" for side in ("ours", "theirs"))
        ratio, least = f"{line['ratio']:.2f}", f"{line['target']:g}" if line["target"] else ""
        if "floor" in line:
            least = f"{line['floor']:,.0f} {line['unit']}" + (f", {least}" if least else "")
        rows.append(f"| `{line['work']}` | {line['peer']} | {ours} | {theirs} | {ratio} | {least} | {verdict} | {of_the_limit(line)} |")
    return rows


def of_the_limit(line: dict) -> str:
    """How far ours is from what the machine can do."""
    if "share_of_peak" in line:
        return f"{line['share_of_peak']:.0%} of peak"
    if "job_over_synced_write" in line:
        return f"{line['job_over_synced_write']:.2g} synced writes a job"
    return ""


def latest(works: list[Work]) -> list[dict]:
    """Each work's last line at its own sizes, in the order of the works."""
    found = {}
    for text in RESULTS.read_text().splitlines() if RESULTS.exists() else []:
        line = json.loads(text)
        if "sizes" not in line and "peer" in line:
            found[line["work"], line["peer"]] = line
    return [found[key] for work in works if (key := (work.name, work.peer)) in found]


def write_page(works: list[Work]):
    """Puts the latest figures between the page's two marks."""
    lines = latest(works)
    if not PAGE.exists() or not lines:
        return
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"bench: {PAGE.relative_to(ROOT)} has no lines `{BEGIN}` and `{END}` to write between")
    dates = sorted(line["date"][:10] for line in lines)
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    missed = [f"`{line['work']}` against {line['peer']}" for line in lines if is_missed(line)]
    verdict = f"Targets missed: {'; '.join(missed)}." if missed else "Every target is met."
    machines = "; ".join(sorted({line["machine"] for line in lines}))
    text = [f"Medians, ours and theirs measured in turn; {machines}; {span}. {verdict}", "", *table(lines)]
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(text) + "\n" + END + after)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", metavar="WORK", help="names or patterns; all without any")
    parser.add_argument("--runs", type=int, help="measurements of each side; the work's own number without it")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another size for the works named")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--no-record", action="store_true", help="print only; write neither bench.jsonl nor the page")
    arguments = parser.parse_args()

    works = discovered()
    wanted = chosen(works, arguments.works)
    if arguments.list:
        for work in wanted:
            print(f"{work.name}: {work.question}\n  against {work.peer}, at least {work.floor or work.target:g}; sizes: {work.parameters}")
        return 0
    for setting in arguments.set:
        name, _, value = setting.partition("=")
        for work in wanted:
            work.set(name, value)

    lines, failed = [], False
    for work in wanted:
        print(f"{work.name}: {work.question} (against {work.peer})", flush=True)
        try:
            line = measure(work, arguments.runs or work.runs)
        except Skip as reason:
            print(f"  skipped: {reason}")
            continue
        except Differ as difference:
            failed = True
            print(f"  NOT MEASURED, the results differ: {difference}")
            continue
        except Exception:
            failed = True
            traceback.print_exc(file=sys.stdout)
            continue
        lines.append(line)
        if not arguments.no_record:
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")
    print("\n" + "\n".join(table(lines)))
    if not arguments.no_record:
        write_page(works)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
