"""The sections of a page of results; one that has nothing to say is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from softpatch.benchmark.figures import Line, Panel, draw_bars, draw_panels
from softpatch.benchmark.published import SETTING, published
from softpatch.benchmark.results import FAILED, IMPOSSIBLE, ORACLE, Row, Setting
from softpatch.benchmark.table import (
    METRICS,
    MISSING,
    Labels,
    Section,
    Table,
    Value,
    good,
    grouped,
    over_seeds,
)

CURVE_METRICS = ("image_auroc", "pixel_auroc", "pixel_ap", "aupro")
FEWEST_FOR_CURVE = 3  # noise ratios
MOST_SHOWN = 4  # tables of categories; more are folded


@dataclass(frozen=True)
class Results:
    """What the sections are made of."""

    rows: Sequence[Row]
    setting: Setting
    labels: Labels = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", Labels(self.rows))

    @property
    def measured(self) -> list[Row]:
        """The rows with numbers."""
        return good(self.rows)


def sections(results: Results) -> list[Section]:
    """Every section that has something to say, in order."""
    parts: list[Callable[[Results], Section | None]] = [
        missing, averages, categories, curves, ablation, kinds, oracle_gap, audit, costs, data,
    ]  # fmt: skip
    return [section for part in parts if (section := part(results)) is not None]


def missing(results: Results) -> Section | None:
    """Cells that could not be filled in, and what was found wrong with the data."""
    lines = []
    for status, word in ((FAILED, "failed"), (IMPOSSIBLE, "cannot be run")):
        lost = [row for row in results.rows if row["status"] == status]
        for reason, rows in grouped(lost, lambda row: row["reason"]).items():
            cells = "; ".join(_cell(results, row) for row in rows[:3])
            more = f"; and {len(rows) - 3} more" if len(rows) > 3 else ""
            lines.append((f"{len(rows)} {word}", reason, cells + more))
    for reason, rows in grouped(
        [row for row in results.measured if row["reason"]], lambda row: row["reason"]
    ).items():
        category = ", ".join(dict.fromkeys(row["category"] for row in rows))
        lines.append((f"{len(rows)} with a note", reason, category))
    absent = results.setting["cells"] - len(results.rows)
    if absent > 0:
        lines.append((f"{absent} not run yet", "the run was stopped; start it again", ""))
    for entry in results.setting["data"]:
        lines += [("data", problem, entry["category"]) for problem in entry["problems"]]
    if not lines:
        return None
    table = Table("Cells without a result, and problems of the data",
                  ("what", "why", "which"), tuple(lines), words=3)  # fmt: skip
    return Section("What is missing", tables=(table,))


def averages(results: Results) -> Section | None:
    """Means over the categories of each data set, the paper's numbers beside them."""
    tables, shows_published = [], False
    layouts = {entry["dataset"]: entry["layout"] for entry in results.setting["data"]}
    published_names = {
        entry["dataset"]: set(entry.get("published", ())) for entry in results.setting["data"]
    }
    for name, of_dataset in grouped(results.measured, lambda row: row["dataset"]).items():
        names = {row["category"] for row in of_dataset}
        citable = bool(names & published_names.get(name, set()))
        if len(names) < 2 and not citable:
            continue
        for (kind, noise, policy), rows in grouped(of_dataset, _draw).items():
            lines, cited = [], False
            for label, its in grouped(rows, results.labels).items():
                beside = (
                    published(layouts[name], its[0]["method"], noise, policy) if citable else None
                )
                cited |= beside is not None
                line = [label, *_metrics(its), str(len({row["category"] for row in its}))]
                line += (
                    [f"{beside.image_auroc:.3f}", f"{beside.pixel_auroc:.3f}"]
                    if beside
                    else [MISSING] * 2
                )
                lines.append(line)
            heads = ["method", *METRICS.values(), "categories"]
            heads += ["paper: image AUROC", "paper: pixel AUROC"]
            width = len(heads) if cited else len(heads) - 2
            shows_published |= cited
            tables.append(
                Table(
                    f"{name}: {_setting_words(kind, noise, policy)}",
                    tuple(heads[:width]),
                    tuple(tuple(line[:width]) for line in lines),
                )
            )
    if not tables:
        return None
    text = ["Mean over the categories; ± is the standard deviation over seeds of that mean."]
    if shows_published:
        text.append(f"The paper's numbers are for {SETTING}. Compare where the categories do.")
    return Section("Averages", tuple(text), tuple(tables))


def curves(results: Results) -> Section | None:
    """Metrics against the noise ratio."""
    figures = []
    for (name, kind), rows in grouped(
        results.measured, lambda row: (row["category"], row["kind"])
    ).items():
        if len({row["noise"] for row in rows}) < FEWEST_FOR_CURVE:
            continue
        panels = [
            [
                Panel(f"{METRICS[key]}, {policy}", "noise ratio", tuple(_curves(results, its, key)))
                for key in CURVE_METRICS
                if any(row[key] is not None for row in its)
            ]
            for policy, its in grouped(rows, lambda row: row["policy"]).items()
        ]
        suffix = "" if kind == "defects" else f", {kind}"
        figures.append(draw_panels(f"{name}: metrics against contamination{suffix}", panels))
    if not figures:
        return None
    text = (
        "The noise ratio is the number of added pictures over the number of good ones. Under "
        "overlap they are also in the test set; under no-overlap they have left it, so that each "
        "ratio is measured on a different test set. A curve ends where the defects run out.",
    )
    return Section("Contamination", text, figures=tuple(figures))


def _curves(results: Results, rows: Sequence[Row], key: str) -> Iterator[Line]:
    for label, its in grouped(rows, results.labels).items():
        points = {
            noise: over_seeds(there, key)
            for noise, there in sorted(grouped(its, lambda row: row["noise"]).items())
        }
        points = {noise: value for noise, value in points.items() if value.mean is not None}
        spread = [value.deviation for value in points.values()]
        yield Line(
            label,
            tuple(points),
            tuple(value.mean for value in points.values() if value.mean is not None),
            tuple(s for s in spread if s is not None)
            if all(s is not None for s in spread)
            else None,
            yardstick=its[0]["method"] == ORACLE,
        )


def ablation(results: Results) -> Section | None:
    """Variants of one method beside its default."""
    tables, figures = [], []
    for (name, draw), rows in grouped(
        results.measured, lambda row: (row["category"], _draw(row))
    ).items():
        by_label = grouped(rows, results.labels)
        if not any(results.labels.variant(row) for row in rows):
            continue
        reference = next(iter(by_label.values()))
        title = f"{name}: {_setting_words(*draw)}"
        lines = []
        for label, its in by_label.items():
            changes = [
                _difference(its, reference, key).text(sign="+")
                for key in ("image_auroc", "pixel_auroc")
            ]
            lines.append((label, *_metrics(its), *changes))
        heads = ("method", *METRICS.values(), "Δ image AUROC", "Δ pixel AUROC")
        tables.append(Table(title, heads, tuple(lines)))
        figures.append(
            draw_bars(
                title,
                list(by_label),
                [
                    (METRICS[key], [over_seeds(its, key).mean for its in by_label.values()])
                    for key in ("image_auroc", "pixel_auroc", "aupro")
                ],
            )
        )
    if not tables:
        return None
    text = ("Δ and the dotted line compare with the first row of each table.",)
    return Section("Ablation", text, tuple(tables), tuple(figures))


def kinds(results: Results) -> Section | None:
    """Kinds of contamination side by side."""
    if len({row["kind"] for row in results.measured}) < 2:
        return None
    tables = []
    for (name, noise, policy), rows in grouped(
        results.measured, lambda row: (row["category"], row["noise"], row["policy"])
    ).items():
        columns = list(dict.fromkeys(row["kind"] for row in rows))
        for key in ("image_auroc", "pixel_auroc", "audit_auroc"):
            if all(row.get(key) is None for row in rows):
                continue
            lines = [
                (label, *(over_seeds(by_kind.get(kind, []), key).text() for kind in columns))
                for label, its in grouped(rows, results.labels).items()
                for by_kind in [grouped(its, lambda row: row["kind"])]
            ]
            title = f"{name}: {METRICS.get(key, 'audit AUROC')}, noise {noise:g}, {policy}"
            tables.append(Table(title, ("method", *columns), tuple(lines)))
    return Section("Kinds of contamination", tables=tuple(tables))


def oracle_gap(results: Results) -> Section | None:
    """The loss against training without the added images."""
    tables = []
    for (name, kind, policy), rows in grouped(
        results.measured, lambda row: (row["category"], row["kind"], row["policy"])
    ).items():
        oracles = grouped((r for r in rows if r["method"] == ORACLE), lambda row: row["noise"])
        noises = [noise for noise in sorted(oracles) if noise > 0]
        if not noises:
            continue
        for key in ("image_auroc", "pixel_auroc"):
            lines = []
            for label, its in grouped(rows, results.labels).items():
                if its[0]["method"] == ORACLE:
                    continue
                by_noise = grouped(its, lambda row: row["noise"])
                gaps = [
                    _difference(oracles[noise], by_noise.get(noise, []), key).text(sign="+")
                    for noise in noises
                ]
                lines.append((label, *gaps))
            if any(cell != MISSING for line in lines for cell in line[1:]):
                tables.append(
                    Table(
                        f"{name}: {METRICS[key]} below the oracle, {kind}, {policy}",
                        ("method", *(f"noise {noise:g}" for noise in noises)),
                        tuple(lines),
                    )
                )
    if not tables:
        return None
    text = (
        "The oracle is PatchCore trained without the added pictures. 0 means that contamination "
        "costs nothing; below 0, the method is better than a clean PatchCore.",
    )
    return Section("Gap to the oracle", text, tuple(tables), folded=True)


def audit(results: Results) -> Section | None:
    """How well the added images are found among the training images."""
    rows = [row for row in results.measured if row.get("audit_auroc") is not None]
    if not rows:
        return None
    noises = sorted({row["noise"] for row in rows})
    lines = []
    for (name, kind, label), its in grouped(
        # Both policies share the training set.
        rows, lambda row: (row["category"], row["kind"], results.labels(row))
    ).items():  # fmt: skip
        by_noise = grouped(its, lambda row: row["noise"])
        cells = (over_seeds(by_noise.get(noise, []), "audit_auroc").text() for noise in noises)
        lines.append((label, name, kind, *cells))
    heads = ("method", "category", "kind", *(f"noise {noise:g}" for noise in noises))
    text = ("AUROC of the training pictures' suspicion for having been added.",)
    return Section("Audit", text, (Table("Audit AUROC", heads, tuple(lines), words=3),))


def costs(results: Results) -> Section | None:
    """Time and memory, and what quality they buy."""
    if not results.measured:
        return None
    tables, panels = [], []
    for name, rows in grouped(results.measured, lambda row: row["category"]).items():
        lines = []
        image: list[Line] = []
        pixel: list[Line] = []
        for label, its in grouped(rows, results.labels).items():
            fit, predict, memory = (
                over_seeds(its, key)
                for key in ("fit_seconds", "predict_seconds_per_image", "peak_memory_mb")
            )
            milliseconds = Value(None if predict.mean is None else 1000 * predict.mean)
            lines.append(
                (label, Value(fit.mean).text(1), milliseconds.text(1), Value(memory.mean).text(0))
            )
            for points, key in ((image, "image_auroc"), (pixel, "pixel_auroc")):
                quality = over_seeds(its, key).mean
                if fit.mean is not None and quality is not None:
                    points.append(Line(label, (fit.mean,), (quality,)))
        heads = ("method", "fit, s", "predict, ms a picture", "peak memory, MB")
        tables.append(Table(name, heads, tuple(lines)))
        panels.append(
            [
                Panel(f"{name}: {METRICS[key]}", "seconds to fit", tuple(points), x_log=True,
                      joined=False)
                for key, points in (("image_auroc", image), ("pixel_auroc", pixel))
                if points
            ]
        )  # fmt: skip
    embedded = [row for row in results.measured if row["pictures_embedded"] == 0]
    text = (
        "Means over all cells. A fit that serves several cells counts in full for each of them. "
        f"{len(embedded)} of {len(results.measured)} cells found all their features in the cache, "
        "so that their times leave out the network.",
    )
    panels = [row for row in panels if row]
    figures = (draw_panels("Quality against the time of a fit", panels),) if panels else ()
    return Section("Costs", text, tuple(tables), figures)


def categories(results: Results) -> Section | None:
    """Every category's own table."""
    tables = []
    for (name, kind, policy), rows in grouped(
        results.measured, lambda row: (row["category"], row["kind"], row["policy"])
    ).items():
        lines = [
            (label, f"{noise:g}", *_metrics(its), str(its[0]["n_test"]))
            for (label, noise), its in grouped(
                rows, lambda row: (results.labels(row), row["noise"])
            ).items()
        ]
        heads = ("method", "noise", *METRICS.values(), "test pictures")
        tables.append(Table(f"{name}: {kind}, {policy}", heads, tuple(lines)))
    if not tables:
        return None
    folded = len(tables) > MOST_SHOWN
    return Section("Category by category", tables=tuple(tables), folded=folded)


def data(results: Results) -> Section | None:
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


def _metrics(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(over_seeds(rows, key).text() for key in METRICS)


def _difference(rows: Sequence[Row], reference: Sequence[Row], key: str) -> Value:
    ours, other = over_seeds(rows, key).mean, over_seeds(reference, key).mean
    return Value(None if ours is None or other is None else ours - other)


def _draw(row: Row) -> tuple[str, float, str]:
    return row["kind"], row["noise"], row["policy"]


def _setting_words(kind: str, noise: float, policy: str) -> str:
    return f"noise {noise:g}, {policy}" + ("" if kind == "defects" else f", {kind}")


def _cell(results: Results, row: Row) -> str:
    return (
        f"{row['category']}, {results.labels(row)}, {_setting_words(*_draw(row))}, "
        f"seed {row['seed']}"
    )
