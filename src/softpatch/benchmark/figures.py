"""Figures as SVG in the page's own colours and font, so that they suit light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

INK = "#010203"  # stands for the page's own text colour, which is put in afterwards
COLOURS = ("#3b82f6", "#ef4444", "#10b981", "#f59e0b", "#a855f7", "#14b8a6", "#ec4899", "#84cc16")
MARKERS = "osD^vPX*"
LEAST_RATIO = 3  # a logarithmic axis over a smaller ratio would have hardly a tick label
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # letters stay letters
    "font.size": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True)
class Figure:
    """A drawing and what it shows."""

    title: str
    svg: str


@dataclass(frozen=True)
class Line:
    """A curve: its points, their spread if there is any, and whether it is a yardstick."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    spread: tuple[float, ...] | None = None
    yardstick: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    x_label: str
    lines: tuple[Line, ...]
    x_log: bool = False
    y_log: bool = False
    joined: bool = True


def draw_panels(title: str, panels: Sequence[Sequence[Panel]]) -> Figure:
    """Panels in rows and columns under one legend."""
    import matplotlib
    from matplotlib.figure import Figure as Drawing

    labels = list(dict.fromkeys(line.label for row in panels for p in row for line in p.lines))
    looks = {label: (COLOURS[i % 8], MARKERS[i % 8]) for i, label in enumerate(labels)}
    columns = max(len(row) for row in panels)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        drawing = Drawing(figsize=(3.1 * columns, 2.5 * len(panels) + 0.25 * len(labels) / columns))
        axes = drawing.subplots(len(panels), columns, squeeze=False)
        for line_of_axes, row in zip(axes, panels, strict=True):
            for axis in line_of_axes[len(row) :]:
                axis.remove()
            for axis, panel in zip(line_of_axes, row, strict=False):
                _draw(axis, panel, looks)
        handles: dict[Any, Any] = {}
        for axis in drawing.axes:
            for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
                handles.setdefault(label, handle)
        drawing.legend(
            handles=[handles[label] for label in labels],
            loc="outside lower center",
            ncols=max(1, min(len(labels), 2 * columns)),
        )
        return Figure(title, _svg(drawing, title))


def draw_bars(title: str, labels: Sequence[str], panels: Sequence[tuple[str, list[Any]]]) -> Figure:
    """One dot per label in each panel, and the first label's value as a line to compare with.

    Panels are a title and the labels' values, None where there is none.
    """
    import matplotlib
    from matplotlib.figure import Figure as Drawing

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": title}):
        drawing = Drawing(figsize=(2.2 + 2.4 * len(panels), 0.6 + 0.24 * len(labels)))
        axes = drawing.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, (name, values) in zip(axes, panels, strict=True):
            shown = [(v, i) for i, v in enumerate(values) if v is not None]
            if values and values[0] is not None:
                axis.axvline(values[0], color=INK, linewidth=0.8, linestyle=":")
            axis.scatter(*zip(*shown, strict=True), color=COLOURS[0], s=22) if shown else None
            axis.set_title(name)
            axis.grid(True)
            axis.locator_params(axis="x", nbins=4)
        axes[0].set_yticks(range(len(labels)), labels)
        axes[0].invert_yaxis()
        return Figure(title, _svg(drawing, title))


def _draw(axis: Axes, panel: Panel, looks: dict[str, tuple[str, str]]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    for line in panel.lines:
        colour, marker = looks[line.label]
        style = "--" if line.yardstick else "-"
        axis.plot(
            line.x, line.y, marker=marker, color=INK if line.yardstick else colour, markersize=4,
            linestyle=style if panel.joined else "none", linewidth=1.4, label=line.label,
        )  # fmt: skip
        if line.spread is not None:
            low = [y - s for y, s in zip(line.y, line.spread, strict=True)]
            high = [y + s for y, s in zip(line.y, line.spread, strict=True)]
            axis.fill_between(line.x, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.set_title(panel.title)
    axis.set_xlabel(panel.x_label)
    for wanted, which, set_scale in (
        (panel.x_log, axis.xaxis, axis.set_xscale),
        (panel.y_log, axis.yaxis, axis.set_yscale),
    ):
        least, most = which.get_data_interval()
        if wanted and most >= LEAST_RATIO * least > 0:
            set_scale("log")
            which.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
            which.set_major_formatter("{x:g}")
            which.set_minor_formatter(NullFormatter())
    axis.grid(True)


def _svg(drawing: Drawing, title: str) -> str:
    drawing.set_layout_engine("constrained")
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace(INK, "currentColor")
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # the same in every figure, and never referred to
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)  # the page's own letters
    text = re.sub(r"font-family: '[^']*';? ?", "", text)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="([\d.]+)pt"', r'\1 style="max-width: \2pt"', text, count=1)
    return text.replace("<svg", '<svg role="img"', 1)
