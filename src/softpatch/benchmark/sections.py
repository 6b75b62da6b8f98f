"""The sections of a page of results; one that has nothing to say is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any

from softpatch.benchmark.figures import Line, Panel, draw_bars, draw_panels
from softpatch.benchmark.published import SETTING, published
from softpatch.benchmark.results import FAILED, IMPOSSIBLE, OK, ORACLE, Row, Setting
from softpatch.benchmark.table import (
    AT_THE_LIMIT,
    METRICS,
    MISSING,
    Labels,
    Section,
    Table,
    Value,
    grouped,
    over_seeds,
)

BOTH_AUROC = ("image_auroc", "pixel_auroc")
CURVE_METRICS = (*BOTH_AUROC, "pixel_ap", "aupro")
FEWEST_FOR_CURVE = 3  # noise ratios
MOST_SHOWN = 4  # tables of categories; more are folded


@dataclass(frozen=True)
class Results:
    """What the sections are made of."""

    rows: Sequence[Row]
    setting: Setting

    @cached_property
    def labels(self) -> Labels:
        """The names of the methods."""
        return Labels(self.rows)

    @cached_property
    def measured(self) -> list[Row]:
        """The rows with numbers."""
        return [row for row in self.rows if row["status"] == OK]

    @cached_property
    def metrics(self) -> Mapping[str, str]:
        """What tables have columns of: those at a threshold if any model has one."""
        known = any(row.get(key) is not None for row in self.measured for key in AT_THE_LIMIT)
        return METRICS | AT_THE_LIMIT if known else METRICS

    def by(self, *columns: str) -> Iterable[tuple[Any, list[Row]]]:
        """What rows with numbers share in these columns, and the rows that share it."""
        return grouped(self.measured, itemgetter(*columns)).items()


def sections(results: Results) -> list[Section]:
    """Every section that has something to say, in order."""
    parts: list[Callable[[Results], Section]] = [
        missing, averages, categories, curves, ablation, kinds, oracle_gap, audit, costs, data,
    ]  # fmt: skip
    made = [part(results) for part in parts]
    return [section for section in made if section.tables or section.figures]


def missing(results: Results) -> Section:
    """Cells that could not be filled in, and what was found wrong with the data."""
    lines = []
    for status, word in ((FAILED, "failed"), (IMPOSSIBLE, "cannot be run")):
        lost = [row for row in results.rows if row["status"] == status]
        for reason, rows in grouped(lost, itemgetter("reason")).items():
            cells = "; ".join(_cell(results, row) for row in rows[:3])
            more = f"; and {len(rows) - 3} more" if len(rows) > 3 else ""
            lines.append((f"{len(rows)} {word}", reason, cells + more))
    for reason, rows in results.by("reason"):
        if reason:
            category = ", ".join(dict.fromkeys(row["category"] for row in rows))
            lines.append((f"{len(rows)} with a note", reason, category))
    absent = results.setting["cells"] - len(results.rows)
    if absent > 0:
        lines.append((f"{absent} not run yet", "the run was stopped; start it again", ""))
    for entry in results.setting["data"]:
        lines += [("data", problem, entry["category"]) for problem in entry["problems"]]
    title = "Cells without a result, and problems of the data"
    table = Table(title, ("what", "why", "which"), tuple(lines), words=3)
    return Section("What is missing", tables=(table,) if lines else ())


def averages(results: Results) -> Section:
    """Means over the categories of each data set, the paper's numbers beside them."""
    tables, shows_published = [], False
    layouts = {entry["dataset"]: entry["layout"] for entry in results.setting["data"]}
    published_names = {
        entry["dataset"]: set(entry.get("published", ())) for entry in results.setting["data"]
    }
    for name, of_dataset in results.by("dataset"):
        names = {row["category"] for row in of_dataset}
        citable = bool(names & published_names.get(name, set()))
        if len(names) < 2 and not citable:
            continue
        for (kind, noise, policy), rows in grouped(of_dataset, _draw).items():
            lines, cited = [], False
            for label, its in grouped(rows, results.labels).items():
                method = its[0]["method"]
                line = [label, *_metrics(results, its), str(len({row["category"] for row in its}))]
                if citable and (beside := published(layouts[name], method, noise, policy)):
                    cited = True
                    line += [f"{beside.image_auroc:.3f}", f"{beside.pixel_auroc:.3f}"]
                else:
                    line += [MISSING, MISSING]
                lines.append(line)
            heads = ("method", *results.metrics.values(), "categories")
            heads += ("paper: image AUROC", "paper: pixel AUROC")
            width = len(heads) if cited else len(heads) - 2
            shows_published |= cited
            title = f"{name}: {_setting_words(kind, noise, policy)}"
            tables.append(Table(title, heads[:width], tuple(tuple(line[:width]) for line in lines)))
    text = ["Mean over the categories; ± is the standard deviation over seeds of that mean."]
    text += _about_the_limit(results)
    if shows_published:
        text.append(f"The paper's numbers are for {SETTING}. Compare where the categories do.")
    return Section("Averages", tuple(text), tuple(tables))


def curves(results: Results) -> Section:
    """Metrics against the noise ratio."""
    figures = []
    for (name, kind), rows in results.by("category", "kind"):
        if len({row["noise"] for row in rows}) < FEWEST_FOR_CURVE:
            continue
        panels = [
            [
                Panel(f"{METRICS[key]}, {policy}", "noise ratio", tuple(_curves(results, its, key)))
                for key in CURVE_METRICS
                if any(row[key] is not None for row in its)
            ]
            for policy, its in grouped(rows, itemgetter("policy")).items()
        ]
        suffix = "" if kind == "defects" else f", {kind}"
        figures.append(draw_panels(f"{name}: metrics against contamination{suffix}", panels))
    text = (
        "The noise ratio is the number of added pictures over the number of good ones. Under "
        "overlap they are also in the test set; under no-overlap they have left it, so that each "
        "ratio is measured on a different test set. A curve ends where the defects run out.",
    )
    return Section("Contamination", text, figures=tuple(figures))


def _curves(results: Results, rows: Sequence[Row], key: str) -> Iterator[Line]:
    for label, its in grouped(rows, results.labels).items():
        x, y, spread = [], [], []
        for noise, there in sorted(grouped(its, itemgetter("noise")).items()):
            value = over_seeds(there, key)
            if value.mean is not None:
                x.append(noise)
                y.append(value.mean)
                spread += [] if value.deviation is None else [value.deviation]
        around = tuple(spread) if len(spread) == len(x) else None
        yield Line(label, tuple(x), tuple(y), around, yardstick=its[0]["method"] == ORACLE)


def ablation(results: Results) -> Section:
    """Variants of one method beside its default."""
    tables, figures = [], []
    for (name, *draw), rows in results.by("category", "kind", "noise", "policy"):
        by_label = grouped(rows, results.labels)
        if not any(results.labels.variant(row) for row in rows):
            continue
        reference = next(iter(by_label.values()))
        title = f"{name}: {_setting_words(*draw)}"
        lines = []
        for label, its in by_label.items():
            changes = (_difference(its, reference, key) for key in BOTH_AUROC)
            lines.append((label, *_metrics(results, its), *changes))
        heads = ("method", *results.metrics.values(), "Δ image AUROC", "Δ pixel AUROC")
        tables.append(Table(title, heads, tuple(lines)))
        panels = [
            (METRICS[key], [over_seeds(its, key).mean for its in by_label.values()])
            for key in (*BOTH_AUROC, "aupro")
        ]
        figures.append(draw_bars(title, list(by_label), panels))
    text = ("Δ and the dotted line compare with the first row of each table.",)
    return Section("Ablation", text, tuple(tables), tuple(figures))


def kinds(results: Results) -> Section:
    """Kinds of contamination side by side."""
    tables = []
    several = len({row["kind"] for row in results.measured}) > 1
    for (name, noise, policy), rows in results.by("category", "noise", "policy") if several else ():
        columns = list(dict.fromkeys(row["kind"] for row in rows))
        for key in (*BOTH_AUROC, "audit_auroc"):
            if all(row.get(key) is None for row in rows):
                continue
            lines = [
                (label, *(over_seeds(by_kind.get(kind, []), key).text() for kind in columns))
                for label, its in grouped(rows, results.labels).items()
                for by_kind in [grouped(its, itemgetter("kind"))]
            ]
            title = f"{name}: {METRICS.get(key, 'audit AUROC')}, noise {noise:g}, {policy}"
            tables.append(Table(title, ("method", *columns), tuple(lines)))
    return Section("Kinds of contamination", tables=tuple(tables))


def oracle_gap(results: Results) -> Section:
    """The loss against training without the added images."""
    tables = []
    for (name, kind, policy), rows in results.by("category", "kind", "policy"):
        oracles = grouped((r for r in rows if r["method"] == ORACLE), itemgetter("noise"))
        others = [row for row in rows if row["method"] != ORACLE]
        noises = [noise for noise in sorted(oracles) if noise > 0]
        heads = ("method", *(f"noise {noise:g}" for noise in noises))
        for key in BOTH_AUROC:
            lines = []
            for label, its in grouped(others, results.labels).items():
                by_noise = grouped(its, itemgetter("noise"))
                gaps = (_difference(oracles[at], by_noise.get(at, []), key) for at in noises)
                lines.append((label, *gaps))
            if any(cell != MISSING for line in lines for cell in line[1:]):
                title = f"{name}: {METRICS[key]} below the oracle, {kind}, {policy}"
                tables.append(Table(title, heads, tuple(lines)))
    text = (
        "The oracle is PatchCore trained without the added pictures. 0 means that contamination "
        "costs nothing; below 0, the method is better than a clean PatchCore.",
    )
    return Section("Gap to the oracle", text, tuple(tables), folded=True)


def audit(results: Results) -> Section:
    """How well the added images are found among the training images."""
    rows = [row for row in results.measured if row.get("audit_auroc") is not None]
    noises = sorted({row["noise"] for row in rows})
    lines = []
    for (name, kind, label), its in grouped(
        # Both policies share the training set.
        rows, lambda row: (row["category"], row["kind"], results.labels(row))
    ).items():  # fmt: skip
        by_noise = grouped(its, itemgetter("noise"))
        cells = (over_seeds(by_noise.get(noise, []), "audit_auroc").text() for noise in noises)
        lines.append((label, name, kind, *cells))
    heads = ("method", "category", "kind", *(f"noise {noise:g}" for noise in noises))
    text = ("AUROC of the training pictures' suspicion for having been added.",)
    table = Table("Audit AUROC", heads, tuple(lines), words=3)
    return Section("Audit", text, (table,) if lines else ())


def costs(results: Results) -> Section:
    """Time and memory, and what quality they buy."""
    tables, panels = [], []
    for name, rows in results.by("category"):
        lines = []
        points: dict[str, list[Line]] = {key: [] for key in BOTH_AUROC}
        for label, its in grouped(rows, results.labels).items():
            fit, predict, memory = (
                over_seeds(its, key)
                for key in ("fit_seconds", "predict_seconds_per_image", "peak_memory_mb")
            )
            milliseconds = Value(None if predict.mean is None else 1000 * predict.mean)
            lines.append(
                (label, Value(fit.mean).text(1), milliseconds.text(1), Value(memory.mean).text(0))
            )
            for key in BOTH_AUROC:
                quality = over_seeds(its, key).mean
                if fit.mean is not None and quality is not None:
                    points[key].append(Line(label, (fit.mean,), (quality,)))
        heads = ("method", "fit, s", "predict, ms a picture", "peak memory, MB")
        tables.append(Table(name, heads, tuple(lines)))
        panels.append(
            [
                Panel(f"{name}: {METRICS[key]}", "seconds to fit", tuple(its), True, joined=False)
                for key, its in points.items()
                if its
            ]
        )
    embedded = [row for row in results.measured if row["pictures_embedded"] == 0]
    text = (
        "Means over all cells. A fit that serves several cells counts in full for each of them. "
        f"{len(embedded)} of {len(results.measured)} cells found all their features in the cache, "
        "so that their times leave out the network.",
    )
    panels = [row for row in panels if row]
    figures = (draw_panels("Quality against the time of a fit", panels),) if panels else ()
    return Section("Costs", text, tuple(tables), figures)


def categories(results: Results) -> Section:
    """Every category's own table."""
    tables = []
    for (name, kind, policy), rows in results.by("category", "kind", "policy"):
        by_line = grouped(rows, lambda row: (results.labels(row), row["noise"]))
        lines = [
            (label, f"{noise:g}", *_metrics(results, its), str(its[0]["n_test"]))
            for (label, noise), its in by_line.items()
        ]
        heads = ("method", "noise", *results.metrics.values(), "test pictures")
        tables.append(Table(f"{name}: {kind}, {policy}", heads, tuple(lines)))
    folded = len(tables) > MOST_SHOWN
    text = tuple(_about_the_limit(results))
    return Section("Category by category", text, tuple(tables), folded=folded)


def data(results: Results) -> Section:
    """The images of each category."""
    lines = tuple(
        (
            entry["category"],
            f"{entry['dataset']} ({entry['layout']})",
            *(str(entry.get(key, MISSING)) for key in ("train", "test_good", "test_defective")),
        )
        for entry in results.setting["data"]
    )
    heads = ("category", "data set", "train", "test, good", "test, defective")
    return Section("Data", tables=(Table("Pictures", heads, lines, words=2),))


def _about_the_limit(results: Results) -> list[str]:
    if results.metrics == METRICS:
        return []
    return [
        "False alarms and found: shares of the good and of the defective test pictures above the "
        "threshold that the model has chosen itself; in brackets, pictures of all seeds together."
    ]


def _metrics(results: Results, rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(over_seeds(rows, key).text() + _counts(rows, key) for key in results.metrics)


def _counts(rows: Sequence[Row], key: str) -> str:
    """Behind a share of test pictures, how many of how many, in all rows; else nothing."""
    rows = [row for row in rows if key in AT_THE_LIMIT and row.get(key) is not None]
    if not rows:
        return ""
    of = [
        row["n_test_bad"] if key == "found" else row["n_test"] - row["n_test_bad"] for row in rows
    ]
    count = sum(round(row[key] * each) for row, each in zip(rows, of, strict=True))
    return f" ({count} of {sum(of)})"


def _difference(rows: Sequence[Row], reference: Sequence[Row], key: str) -> str:
    ours, other = over_seeds(rows, key).mean, over_seeds(reference, key).mean
    return Value(None if ours is None or other is None else ours - other).text(sign="+")


def _draw(row: Row) -> tuple[str, float, str]:
    return row["kind"], row["noise"], row["policy"]


def _setting_words(kind: str, noise: float, policy: str) -> str:
    return f"noise {noise:g}, {policy}" + ("" if kind == "defects" else f", {kind}")


def _cell(results: Results, row: Row) -> str:
    return (
        f"{row['category']}, {results.labels(row)}, {_setting_words(*_draw(row))}, "
        f"seed {row['seed']}"
    )
