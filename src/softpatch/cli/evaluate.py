"""``softpatch evaluate``: fit on a contaminated training set and measure."""

from __future__ import annotations

import json
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from softpatch.cli import options
from softpatch.cli.options import flag, option
from softpatch.cli.terminal import Skipped, note, progress_bars, show_table
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.compute.progress import Progress
    from softpatch.datasets import Category, Dataset


@options.reads_pictures
@options.takes(*options.DETECTOR, options.Threshold)
def evaluate(
    data: Path = option("Folder that holds a data set's categories, or elpv.", default=...),
    category: str = option("Which category, such as bottle.", default=...),
    layout: str | None = option("Listed by softpatch datasets.  [recognised]"),
    noise: float | None = option("Defective pictures added, as a share of the clean ones.  [0]"),
    overlap: bool = flag("--overlap", "Keep the added pictures in the test set."),
    augment: bool = flag("--augment", "Randomly turn, shift and flip added pictures."),
    kind: str | None = option(
        "What is added: defects, mild, one-type, near-duplicates, other-category, "
        "capture-faults or difficult.  [defects]"
    ),
    manifest: Path | None = option("Write down which pictures were added."),
    from_manifest: Path | None = option("Add the pictures a manifest names, instead of drawing."),
    pixel_at: str = option(
        "Pixel metrics at the network's input size, or native: the masks'.", default="input"
    ),
    allow_empty_masks: bool = flag(
        "--allow-empty-masks", "Go on where a defective picture's mask marks nothing."
    ),
    as_json: bool = flag("--json", "One JSON line, no bars."),
    strict: bool = options.STRICT,
    *,
    method: str,
    given: dict[str, Any],
) -> None:
    """Measure a METHOD on a category whose training set is contaminated on purpose.

    Needs the extra: pip install 'softpatch[evaluate]'; for --data elpv: 'softpatch[elpv]'

    Examples:
    softpatch evaluate --data mvtec/ --category bottle --noise 0.1 --overlap

    softpatch evaluate --data mvtec/ --category bottle --method patchcore --noise 0.1 --json

    softpatch evaluate --data mvtec/ --category bottle --noise 0.05 --kind mild --pixel-at native

    softpatch evaluate --data btad/ --layout btad --category 01

    softpatch evaluate --data elpv --category elpv_mono --noise 0.1
    """
    from softpatch.compute.progress import silent
    from softpatch.datasets import contaminate, open_dataset, read_manifest, remarks, require_marks
    from softpatch.detectors import PaDiM, make_detector
    from softpatch.evaluation.difficulty import rate_difficulty
    from softpatch.evaluation.protocol import evaluate as run
    from softpatch.images.masks import OddMaskWarning
    from softpatch.storage.targets import is_manifest

    options.check_output(manifest, "the manifest", is_manifest)
    detector = make_detector(method, **given)
    dataset = open_dataset(data, layout)
    products = dataset.read(category)
    for line in remarks(products):
        note(f"{category}: {line}")
    skipped = Skipped(strict)

    def bars(prefix: str = "") -> AbstractContextManager[Progress]:
        return nullcontext(silent) if as_json else progress_bars(prefix)

    if from_manifest is not None:
        drawing = {"noise": noise, "overlap": overlap, "augment": augment, "kind": kind}
        for name, value in drawing.items():
            if value not in (None, False):
                raise UsageError(f"--{name} draws pictures, --from-manifest names them")
        contamination = read_manifest(from_manifest, products, _others(dataset, category))
    else:
        difficulty = None
        if kind == "difficult":
            with warnings.catch_warnings():  # they come again before the fit
                warnings.simplefilter("ignore", OddMaskWarning)
                require_marks(products, allow_empty_masks)
            shared = {name: given[name] for name in given.keys() & PaDiM.option_names()}
            with bars("difficulty: ") as progress:
                difficulty = rate_difficulty(
                    products, PaDiM(**shared), on_unreadable=skipped.handler, progress=progress
                )
        contamination = contaminate(
            products, noise or 0.0, overlap=overlap, seed=detector.seed, augment=augment,
            kind="defects" if kind is None else kind,
            others=_others(dataset, category) if kind == "other-category" else (),
            difficulty=difficulty,
        )  # fmt: skip
    with bars() as progress:
        row, _ = run(
            method, detector, contamination, pixel_at=pixel_at, keep=False,
            allow_empty_masks=allow_empty_masks, on_unreadable=skipped.handler, progress=progress,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(row.as_dict()))
    else:
        show([row.as_dict()])
    if manifest is not None:  # of what was measured, and after what took longer to have
        contamination.write_manifest(manifest)
    skipped.report()
    unmasked = sum(not sample.masks for sample in contamination.test if sample.defective)
    if unmasked:
        note(f"pixel metrics leave out {unmasked} defective picture(s) without a mask")


def _others(dataset: Dataset, category: str) -> list[Category]:
    """The other categories that can be read; what is wrong with the rest matters elsewhere."""
    from softpatch.errors import DatasetError

    others = []
    for name in dataset.categories:
        if name != category:
            with suppress(DatasetError):
                others.append(dataset.read(name))
    return others


def show(rows: list[dict[str, Any]]) -> None:
    """Print result rows side by side, one column each."""
    title = f"{rows[0]['category']}, noise {rows[0]['noise']:g}, {rows[0]['policy']}"
    lines = (
        (key.replace("_", " "), *(_cell(key, row) for row in rows))
        for key in rows[0]
        if key not in ("category", "noise", "policy", "method")
    )
    show_table(title, ["", *(row["method"] for row in rows)], lines, numbers=1)


def _cell(key: str, row: dict[str, Any]) -> str:
    value, bad = row[key], row["n_test_bad"]
    if value is None:
        return "-"
    if key in ("false_alarms", "found"):  # at the model's own threshold
        of = bad if key == "found" else row["n_test"] - bad
        return f"{value:.4f} ({round(value * of)} of {of})"
    if isinstance(value, int | str):
        return str(value)
    if key == "peak_memory_mb":
        return f"{value:.0f}"
    return f"{value:.2f}" if "seconds" in key else f"{value:.4f}"
