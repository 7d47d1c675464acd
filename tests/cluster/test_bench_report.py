# SPDX-License-Identifier: Apache-2.0
"""What scripts/bench writes: verdicts, tables of which only the measured ones change, and plots."""

import pathlib
import sys
import xml.etree.ElementTree

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts/lib"))

from bench import plot, report  # noqa: E402  (found by the line above)
from bench.report import Row, Section  # noqa: E402


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("a", "MB/s", 50, 100, 0.4, 0.6), "ok"),
        (Row("a", "MB/s", 70, 100, 0.4, 0.6), "good"),
        (Row("a", "MB/s", 30, 100, 0.4, 0.6), "MISS"),
        (Row("a", "ms", 30, 10, 2, 1, more_is_better=False), "MISS"),
        (Row("a", "s", 0.4, None, 0.5, 0.2, more_is_better=False), "ok"),
        (Row("a", "s", 0.4), ""),
        (Row("a", "MB/s", 1, 0, 0.4, 0.6), "good"),
    ],
)
def test_verdict(row, verdict):
    assert row.verdict == verdict


def test_only_what_was_measured_is_replaced(tmp_path):
    path = tmp_path / "benchmarks.md"
    order = ["One", "Two"]
    report.write(path, [Section("One", "x", [Row("first", "s", 1)]), Section("Two", "y", [Row("second", "s", 2)])], order, 3)
    with open(path, "a", encoding="utf-8") as file:
        file.write("\n## What limits it\nCopies.\n")
    report.write(path, [Section("Two", "y", [Row("third", "s", 3)], [("p.svg", "a plot", "<svg/>")])], order, 3)
    text = path.read_text(encoding="utf-8")
    assert "first" in text and "second" not in text and "third" in text
    assert text.index("## One") < text.index("## Two") < text.index("## What limits it\nCopies.")
    assert "![a plot](plots/p.svg)" in text and (tmp_path / "plots/p.svg").read_text(encoding="utf-8") == "<svg/>"


def test_plot_is_well_formed():
    svg = plot.bars("A & B", "MB/s", ["x", "y"], {"raw <": [1.0, 900.0], "ours": [None, 0.2]})
    root = xml.etree.ElementTree.fromstring(svg)
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == 1 + 2 + 3
