"""``softpatch demo``: the whole story on a synthetic product line, or on your own data set."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from softpatch.cli.options import option, to_output
from softpatch.cli.terminal import Skipped, duration, note, progress_bars, say, say_next, show_table
from softpatch.errors import MissingExtraError

if TYPE_CHECKING:
    from softpatch.datasets import Contamination, Sample
    from softpatch.detectors import Detector, SoftPatch
    from softpatch.runtime.prediction import Prediction

METHODS = ("patchcore", "softpatch")


def demo(
    data: Path | None = option("A category in MVTec layout.  [a synthetic product line is drawn]"),
    output: Path = to_output("Folder for pictures and results.", Path("softpatch-demo")),
    noise: float = option("Bad pictures hidden among the good.", default=0.1),
    seed: int = option("Of the line, the draw and the models.", default=0),
) -> None:
    """Hide defective pictures in a training set and see PatchCore and SoftPatch cope with it.

    Needs the extra: pip install 'softpatch[evaluate]'

    Examples:
    softpatch demo

    softpatch demo --data mvtec/bottle -o bottle-demo
    """
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise MissingExtraError("evaluate", "softpatch demo")

    from softpatch.cli.evaluate import show
    from softpatch.datasets import contaminate, make_product_line, read_category
    from softpatch.detectors import SoftPatch, make_detector
    from softpatch.evaluation.protocol import evaluate
    from softpatch.predictions.overlays import overlay
    from softpatch.runtime.files import write_atomically
    from softpatch.runtime.own_files import is_drawing
    from softpatch.runtime.targets import begins, check_folder, check_results
    from softpatch.runtime.verdict import tally
    from softpatch.runtime.writers import Drawings, without_drawing, write_predictions
    from softpatch.storage.targets import is_manifest, is_model

    started = time.perf_counter()
    written = {
        "figure.png": is_drawing,
        "results.json": begins(b'[\n  {\n    "method": '),
        "manifest.json": is_manifest,
        "model.softpatch": is_model,
    }
    check_results(output, written)
    check_folder(output / "heatmaps")
    output.mkdir(parents=True, exist_ok=True)

    if data is None:
        data = output / f"synthetic_line_seed{seed}"
        check_folder(data)
        if not data.exists():
            say(f"drawing a synthetic product line (not photographs) in {data} ...")
            make_product_line(data, seed=seed)
    contamination = contaminate(read_category(data), noise, overlap=True, seed=seed)
    contamination.write_manifest(output / "manifest.json")
    say(
        f"training set: {len(contamination.category.train)} good pictures and "
        f"{len(contamination.injected)} defective ones hidden among them; "
        f"test set: {len(contamination.test)} pictures"
    )
    rows, predictions, detectors = [], {}, {}
    skipped = Skipped(strict=False)
    for method in METHODS:
        detector = make_detector(method, seed=seed)
        with progress_bars(prefix=f"{method}: ") as progress:
            row, predictions[method] = evaluate(
                method, detector, contamination, on_unreadable=skipped.handler, progress=progress
            )
        rows.append(row.as_dict())
        detectors[method] = detector
    skipped.report()
    show(rows)
    softpatch = detectors["softpatch"]
    assert isinstance(softpatch, SoftPatch)
    _name_planted(softpatch, contamination)
    verdicts = tally(one.verdict for one in predictions["softpatch"])
    say(f"SoftPatch's verdicts on the test set: {verdicts}")
    write_atomically(output / "results.json", (json.dumps(rows, indent=2) + "\n").encode())
    softpatch.save(output / "model.softpatch")
    limit = softpatch.normal_limit_
    heatmaps = Drawings(output, data / "test", "heatmap", lambda p: overlay(p.name, p, limit))
    with progress_bars() as progress:

        def drawing() -> Iterator[Prediction]:
            for done, prediction in enumerate(predictions["softpatch"], start=1):
                yield prediction
                progress("drawing heat maps", done, len(predictions["softpatch"]))

        for error in without_drawing(write_predictions(drawing(), [heatmaps])):
            note(f"scored, but {error}")
    _write_figure(output / "figure.png", contamination, detectors, predictions, rows)
    say(f"wrote {output}: figure.png, heatmaps/, results.json, manifest.json, model.softpatch")
    say(f"done in {duration(time.perf_counter() - started)}")
    say_next("softpatch", "fit", "photos/", "-o", "part.softpatch", more="  (with your pictures)")


def _name_planted(softpatch: SoftPatch, contamination: Contamination) -> None:
    """Print how the hidden pictures rank among the suspects."""
    planted = {str(sample.path): sample.kind for sample in contamination.injected}
    suspects = softpatch.suspects()[: len(planted)]
    found = sum(name in planted for name, _ in suspects)
    truth = {name: f"hidden: {kind}" for name, kind in planted.items()}
    show_table(
        f"SoftPatch's {len(planted)} most suspicious training pictures: "
        f"{found} of the {len(planted)} hidden ones",
        ("rank", "suspicion", "training picture", "truth"),
        (
            (
                str(rank),
                f"{suspicion:.2f}",
                "/".join(Path(name).parts[-3:]),
                truth.get(name, "good"),
            )
            for rank, (name, suspicion) in enumerate(suspects, start=1)
        ),
        marked=truth.values(),
    )


def _write_figure(
    path: Path,
    contamination: Contamination,
    detectors: dict[str, Detector],
    predictions: dict[str, list[Prediction]],
    rows: list[dict[str, object]],
) -> None:
    """One test picture of every kind, its truth, and what each method makes of it."""
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from softpatch.datasets import read_mask
    from softpatch.evaluation.frames import mask_at_input
    from softpatch.images.decode import read_image
    from softpatch.predictions.overlays import overlay
    from softpatch.runtime.errors import printable
    from softpatch.runtime.files import write_atomically
    from softpatch.runtime.own_files import MADE_BY

    # A hidden picture of each kind where there is one: that is where learning it does harm.
    hidden = {sample.path for sample in contamination.injected}
    scored = [{one.name for one in predictions[method]} for method in METHODS]
    shown = [one for one in contamination.test if all(str(one.path) in names for names in scored)]
    chosen: dict[str, Sample] = {}
    for sample in sorted(shown, key=lambda sample: sample.path not in hidden):
        chosen.setdefault(sample.kind, sample)
    kinds = sorted(chosen, key=lambda kind: (kind != "good", kind))[:6]
    columns = ["picture", "truth", *METHODS]
    figure, axes = pyplot.subplots(
        len(kinds), len(columns), figsize=(10, 2.6 * len(kinds)), squeeze=False
    )
    for line, kind in zip(axes, kinds, strict=True):
        sample = chosen[kind]
        picture = read_image(sample.path).permute(1, 2, 0).numpy()
        found = {
            method: next(p for p in predictions[method] if p.name == str(sample.path))
            for method in METHODS
        }
        any_prediction = found[METHODS[0]]
        height, width = any_prediction.size
        truth = read_mask(sample, any_prediction.size)
        mask = mask_at_input(truth, detectors[METHODS[0]].preprocessing)
        left, top, right, bottom = any_prediction.box
        line[0].imshow(picture)
        line[0].set_ylabel(printable(kind), parse_math=False)
        line[1].set_facecolor("black")
        line[1].set_aspect("equal")
        line[1].imshow(mask, extent=(left, right, bottom, top), cmap="gray", vmin=0, vmax=1)
        line[1].set_xlim(0, width)
        line[1].set_ylim(height, 0)
        for axis, method in zip(line[2:], METHODS, strict=True):
            limit = detectors[method].normal_limit_
            axis.imshow(overlay(sample.path, found[method], limit))
    for axis, title in zip(axes[0], columns, strict=True):
        axis.set_title(title)
    for axis, row in zip(axes[-1][2:], rows, strict=True):
        pixel = row["pixel_auroc"]
        below = "" if pixel is None else f"\npixel AUROC {pixel:.3f}"
        axis.set_xlabel(f"image AUROC {row['image_auroc']:.3f}{below}")
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(
        f"{printable(contamination.category.name)}: {len(contamination.injected)} defective "
        "pictures hidden in training",
        parse_math=False,
    )
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, metadata=dict([MADE_BY]))
    pyplot.close(figure)
    write_atomically(path, buffer.getvalue())
