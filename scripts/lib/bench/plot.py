# SPDX-License-Identifier: Apache-2.0
"""plot - grouped bars as SVG, with nothing but the standard library"""

from xml.sax.saxutils import escape

COLOURS = ("#9aa5b1", "#2f6fde", "#e07b39", "#3a9d5d", "#8e5bd0", "#c9415b", "#17a2a2")
WIDTH, HEIGHT = 760, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 52, 40
STYLE = "font-family='sans-serif' font-size='12' fill='#333'"


def _ceiling(value):
    """The next of 1, 2, 5 times a power of ten."""
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value and power > 1e-9:
        power /= 10
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value)


def _text(x, y, words, anchor="start", extra=""):
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {extra}>{escape(words)}</text>"


def _axis(top, unit):
    lines = []
    for step in range(5):
        value = top * step / 4
        y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * step / 4
        lines.append(f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}' stroke='#ddd'/>")
        lines.append(_text(LEFT - 6, y + 4, f"{value:g}", "end"))
    lines.append(_text(LEFT - 6, TOP - 10, unit, "end"))
    return lines


def bars(title, unit, groups, series):
    """groups: names along the axis; series: {name: a value (or None) a group}."""
    values = [value for row in series.values() for value in row if value is not None]
    top = _ceiling(max(values, default=1) or 1)
    slot = (WIDTH - LEFT - RIGHT) / max(len(groups), 1)
    width = slot * 0.8 / max(len(series), 1)
    out = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{HEIGHT}' {STYLE}>",
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>",
        _text(LEFT, 18, title, extra="font-size='14' font-weight='bold'"),
        *_axis(top, unit),
    ]
    x = LEFT
    for index, name in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        out.append(f"<rect x='{x}' y='26' width='10' height='10' fill='{colour}'/>")
        out.append(_text(x + 14, 35, name))
        x += 28 + 7 * len(name)
    for group, label in enumerate(groups):
        left = LEFT + slot * (group + 0.1)
        out.append(_text(LEFT + slot * (group + 0.5), HEIGHT - BOTTOM + 18, label, "middle"))
        for index, row in enumerate(series.values()):
            if row[group] is None:
                continue
            height = (HEIGHT - TOP - BOTTOM) * row[group] / top
            x, y = left + width * index, HEIGHT - BOTTOM - height
            colour = COLOURS[index % len(COLOURS)]
            out.append(f"<rect x='{x:.1f}' y='{y:.1f}' width='{width * 0.92:.1f}' height='{height:.1f}' fill='{colour}'/>")
            out.append(_text(x + width / 2, y - 3, f"{row[group]:.3g}", "middle", "font-size='9'"))
    return "\n".join([*out, "</svg>"]) + "\n"
