# SPDX-License-Identifier: Apache-2.0
"""report - rows with their verdict, and docs/benchmarks.md, of which only what was measured is replaced"""

import dataclasses
import re
import time

from . import machine

HEAD = """# Benchmarks

Written by `scripts/bench`; every ratio is to a baseline of the same run. Cluster, laptop, load generator and
product share the machine, so absolute figures say what a byte costs, and only ratios compare. "must" and "good" are the
project's targets; MISS marks a row that does not hold its must. TCP congestion control is cubic everywhere unless a row
says otherwise.
"""
# What people wrote below the figures stays.
REMARKS = "What limits it"


@dataclasses.dataclass
class Row:
    """One figure. Without a baseline it is `ours` that is compared with the target, else ours / baseline."""

    figure: str
    unit: str
    ours: float
    baseline: float | None = None
    must: float | None = None
    good: float | None = None
    more_is_better: bool = True

    @property
    def ratio(self):
        if self.baseline is None:
            return None
        return self.ours / self.baseline if self.baseline else float("inf")

    @property
    def compared(self):
        return self.ours if self.baseline is None else self.ratio

    @property
    def verdict(self):
        if self.must is None:
            return ""
        good = self.good if self.good is not None else self.must
        for limit, word in ((good, "good"), (self.must, "ok")):
            if self.compared >= limit if self.more_is_better else self.compared <= limit:
                return word
        return "MISS"

    def line(self):
        sign = "≥" if self.more_is_better else "≤"
        must = "" if self.must is None else f"{sign} {self.must:g}"
        good = "" if self.good is None else f"{sign} {self.good:g}"
        base = "" if self.baseline is None else number(self.baseline)
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        cells = [self.figure, self.unit, base, number(self.ours), ratio, must, good, self.verdict]
        return f"| {' | '.join(cells)} |"


def number(value):
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


@dataclasses.dataclass
class Section:
    title: str
    text: str
    rows: list
    plots: list = dataclasses.field(default_factory=list)  # (file name, caption, SVG text)
    took_s: float = 0.0

    def lines(self, rounds):
        when = time.strftime("%Y-%m-%d")
        yield f"## {self.title}"
        yield self.text.strip()
        yield f"Medians of {rounds}; {when}, {machine.describe()}."
        yield ""
        yield "| figure | unit | baseline | ours | ratio | must | good | |"
        yield "|---|---|---|---|---|---|---|---|"
        yield from (row.line() for row in self.rows)
        for name, caption, _ in self.plots:
            yield ""
            yield f"![{caption}](plots/{name})"


def parts_of(text):
    """The sections of a document by title, in order."""
    found = {}
    for part in re.split(r"^(?=## )", text, flags=re.M)[1:]:
        found[part.partition("\n")[0][3:].strip()] = part.strip("\n")
    return found


def write(path, sections, order, rounds):
    """Replaces these sections in the document; the others, and the remarks, stay."""
    old = parts_of(path.read_text(encoding="utf-8")) if path.exists() else {}
    fresh = {section.title: "\n".join(section.lines(rounds)) for section in sections}
    parts = {**{title: old[title] for title in (*order, REMARKS) if title in old}, **fresh}
    body = [parts[title] for title in (*order, REMARKS) if title in parts]
    path.write_text(HEAD + "\n" + "\n\n".join(body) + "\n", encoding="utf-8")
    folder = path.parent / "plots"
    for section in sections:
        for name, _, svg in section.plots:
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(svg, encoding="utf-8")
