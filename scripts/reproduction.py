#!/usr/bin/env python3
"""Writes docs/reproduction.md from the reports that scripts/reproduction.sh has made. Nothing in it is typed by hand: questions
and the paper's figures are the comments that open each sweep file, ours come from report.json."""

import json
import os
import platform
import re
import shutil
import sqlite3
import sys
from datetime import date
from pathlib import Path

ORDER = [
    "weight-decay", "readings", "pretrained", "adversarial", "restart", "data-size", "blocks", "depth",
    "partial-pretraining", "three-points", "three-points-spiral", "distance", "per-layer", "per-layer-suggested", "time",
]
SUGGESTED = "Do rules read off the layers' lines beat uniform training, and their own overrides shuffled among layers?"
FIGURES = {"blocks": "layers", "depth": "layers", "per-layer": "heat-map", "time": "surface"}


def opening(path: Path) -> tuple[str, str]:
    """The question and what the paper saw: the first two paragraphs of a sweep file's comment."""
    lines = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].strip())
    paragraphs = [" ".join(part.split()) for part in "\n".join(lines).split("\n\n")]
    paper = next((p for p in paragraphs if p.startswith("The paper")), "")
    return paragraphs[0], paper


def percent(spread: dict | None) -> str:
    if not spread:
        return "-"
    sd = f" ± {100 * spread['sd']:.2f}" if spread.get("sd") is not None else ""
    return f"{100 * spread['mean']:.2f}{sd}"


def verdict(claims: list[dict]) -> str:
    """One honest sentence."""
    by = {name: sum(c["verdict"] == name for c in claims) for name in ("agrees", "does not agree", "cannot tell")}
    if not claims:
        return "The file makes no claim; its report shows what there is."
    if len(claims) == 1:
        return f"The claim {claims[0]['verdict'].replace('cannot tell', 'cannot be told at this size')}."
    parts = [f"{by['agrees']} of {len(claims)} claims {'agrees' if by['agrees'] == 1 else 'agree'}"]
    if by["does not agree"]:
        parts.append(f"{by['does not agree']} {'does' if by['does not agree'] == 1 else 'do'} not")
    if by["cannot tell"]:
        parts.append(f"{by['cannot tell']} cannot be told at this size")
    return ", ".join(parts) + "."


def section(name: str, out: Path) -> list[str]:
    report = Path(".transect/reports") / f"small-{name}"
    if not (report / "report.json").exists():
        return []
    statistics = json.loads((report / "report.json").read_text())
    if name == "per-layer-suggested":
        question, paper = SUGGESTED, "The paper claims that custom training can be read off the lines, without a table."
    else:
        question, paper = opening(Path("sweeps/paper/small") / f"{name}.toml")
    text = [f"## {name}", "", question, ""]
    if paper:
        text += [paper, ""]
    file = "the file that `transect suggest small-per-layer` writes" if name == "per-layer-suggested" else f"`sweeps/paper/small/{name}.toml`"
    text += [f"Ours: {file}, {ran(name)}.", ""]
    claims = statistics.get("claims") or []
    if claims:
        text += ["| claim | verdict | seen | n |", "|---|---|---|---|"]
        for claim in claims:
            text.append(f"| {claim['claim']} | {claim['verdict']} | {seen(claim)} | {claim['n']} |")
        text.append("")
    text += [f"**{verdict(claims)}**", ""]
    accuracy = statistics.get("accuracy") or statistics.get("settings") or []
    rows = [(row["setting"], row.get("test_accuracy")) for row in accuracy if isinstance(row, dict) and "setting" in row]
    if len(rows) > 0:
        text += ["| setting | test accuracy, % | n |", "|---|---|---|"]
        for setting, spread in rows:
            text.append(f"| {setting} | {percent(spread)} | {spread['n'] if spread else 0} |")
        text.append("")
    for kind in dict.fromkeys(["lines", FIGURES.get(name, "lines")]):
        for figure in sorted(report.glob(f"{kind}*.png"))[:1]:
            shutil.copy(figure, out / f"{name}-{kind}.png")
            text += [f"![{name}: {kind}](reproduction/{name}-{kind}.png)", ""]
    return text


def ran(name: str) -> str:
    """How many runs and points it has, and the work that they were, by the newest sweep of that name."""
    query = """SELECT p.runs, p.points, (SELECT sum(j.seconds) FROM job_status AS j WHERE j.sweep_id = p.sweep_id)
        FROM sweep_progress AS p WHERE p.name = ? ORDER BY p.submitted_at DESC LIMIT 1"""
    with sqlite3.connect(".transect/transect.db") as database:
        runs, points, seconds = database.execute(query, (f"small-{name}",)).fetchone()
    return f"{runs} runs, {points:,} points, {seconds / 60:.0f} minutes of one core's work (shared runs included)"


def seen(claim: dict) -> str:
    numbers = claim["numbers"]
    if "silent" in numbers:
        return numbers["silent"]
    if "student" in numbers:
        low, high = numbers["student"]["low"], numbers["student"]["high"]
        return f"{numbers['mean']:.3f} [{low:.3f}, {high:.3f}]"
    interval = numbers.get("interval")
    shown = f" [{interval['low']:.2f}, {interval['high']:.2f}]" if interval else ""
    return f"rank correlation {numbers['value']:.2f}{shown}"


def processor() -> str:
    try:
        info = Path("/proc/cpuinfo").read_text()
        return re.search(r"model name\s*: (.*)", info).group(1)
    except (OSError, AttributeError):
        return platform.machine()


def main() -> None:
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    text = [
        "# Reproduction",
        "",
        "What Vlaar & Frankle 2022 (arXiv 2106.16004) saw, and what we saw at a size that two processor cores finish in minutes: a",
        "quarter of ResNet-18's width, 4,000 true CIFAR-10 images, 15 epochs. The files of full size are in `sweeps/paper`.",
        "",
        "`make reproduction` runs every sweep and writes this page from `transect report`: the words are those that open the",
        "sweep files, the numbers those of the reports. A claim *agrees* when all of its 95 % interval is where the paper's",
        "statement says, *does not* when none of it is, and *cannot be told* otherwise (docs/report.md). Where several claims are",
        "looked at, one in twenty misses by chance.",
        "",
        f"Made on {date.today().isoformat()} on {os.cpu_count()} cores of {processor()}, libtorch 2.11.0, one thread a run.",
        "",
    ]
    for name in ORDER:
        text += section(name, out)
    Path("docs/reproduction.md").write_text("\n".join(text).rstrip() + "\n")


if __name__ == "__main__":
    main()
