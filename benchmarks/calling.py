"""Where the line is drawn and how many are said to be bad, on small sets with bad pictures in them.

Every cell is a fit of so many good pictures and some bad ones, which is kept; new pictures, 60 good
and 60 bad ones at most, tell what it is worth. Three tables come of the cells: limits, counts, and
how often a picture is bad of which so much confidence is said.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.stats import binom

from benchmarks.markdown import table, text
from softpatch import SoftPatch
from softpatch.calling.contamination import above_good, confidence_of, estimate_contamination
from softpatch.calling.looks import LOOKS
from softpatch.calling.threshold import threshold_without_labels
from softpatch.datasets import Category, open_dataset

Floats = npt.NDArray[np.float64]

NEW = 60  # good pictures that are scored, and bad ones
SET_ASIDE = 15  # bad pictures that training sets draw from
SHARES = (0.01, 0.05)  # of good pictures that may be called bad
BINS = 10  # of confidence


@dataclass(frozen=True)
class Cell:
    """One fit, and how new pictures score.

    Attributes:
        name: of the set.
        pictures: good ones in training.
        bad: bad ones in training.
        seed: of both draws and the fit.
        suspicion: of every training picture.
        truth: whether each is bad.
        held_out: scores of training pictures, as if not seen.
        held_out_truth: whether each of these is bad.
        new_good, new_bad: scores of new pictures.
    """

    name: str
    pictures: int
    bad: int
    seed: int
    suspicion: list[float]
    truth: list[bool]
    held_out: list[float]
    held_out_truth: list[bool]
    new_good: list[float]
    new_bad: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("cells", type=Path, help="folder that keeps what was measured")
    parser.add_argument("--categories", nargs="+", help="[all of them]")
    parser.add_argument("--pictures", nargs="+", type=int, default=[60])
    parser.add_argument("--bad", nargs="+", type=int, default=[0, 5, 15])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    dataset = open_dataset(options.data)
    names = options.categories or dataset.categories
    options.cells.mkdir(parents=True, exist_ok=True)
    cells = []
    for seed, pictures, bad, name in itertools.product(
        options.seeds, options.pictures, options.bad, names
    ):
        kept = options.cells / f"{name}-{pictures}-{bad}-{seed}.json"
        if not kept.exists():
            cell = measured(dataset.read(name), name, pictures, bad, seed)
            kept.write_text(json.dumps(asdict(cell)))
        cells.append(Cell(**json.loads(kept.read_text())))
    print("\n".join([limits(cells), kept_promises(cells), counts(cells), calibration(cells)]))


def measured(category: Category, name: str, pictures: int, bad: int, seed: int) -> Cell:
    """Fit and score; new good pictures are the test set's, and then what training left."""
    random = np.random.default_rng(seed)
    good = [sample.path for sample in category.train]
    defects = [sample.path for sample in category.defects]
    order = random.permutation(len(good))
    hidden = random.permutation(len(defects))
    training = [(good[at], False) for at in order[:pictures]]
    training += [(defects[at], True) for at in hidden[:bad]]
    training = [training[at] for at in random.permutation(len(training))]
    new_good = [sample.path for sample in category.test if not sample.defective]
    new_good += [good[at] for at in order[pictures:]]
    new_bad = [defects[at] for at in hidden[SET_ASIDE : SET_ASIDE + NEW]]
    detector = SoftPatch(seed=seed).fit([path for path, _ in training])
    held_out, of = detector.held_out_, detector.held_out_of_
    assert held_out is not None
    assert of is not None
    truth = [bad for _, bad in training]
    good_scores, bad_scores = (
        [found.score for found in detector.predict(paths, refuse_unusable=False)]
        for paths in (new_good[:NEW], new_bad)
    )
    return Cell(
        name, pictures, bad, seed, detector.suspicion_.tolist(), truth, held_out.tolist(),
        [truth[at] for at in of[:, 0].tolist()], good_scores, bad_scores,
    )  # fmt: skip


def chosen(cell: Cell, share: float, looks: int) -> tuple[float, float]:
    """The limit, and the share of good pictures that it promises to call bad."""
    scores, truth = np.array(cell.held_out), np.array(cell.held_out_truth)
    looked_at = np.zeros(len(scores), dtype=bool)
    looked_at[scores.argsort()[::-1][:looks]] = True
    stay = ~(looked_at & truth)
    found = threshold_without_labels(scores[stay], share, looked_at[stay])
    return found.value, found.expected


def limits(cells: Iterable[Cell]) -> str:
    """False alarms and what is found, a row for every cell."""
    rows: list[dict[str, Any]] = []
    for cell in cells:
        row: dict[str, Any] = {"set": cell.name, "in": f"{cell.pictures} + {cell.bad}"}
        row |= {"seed": cell.seed, "of": f"{len(cell.new_bad)} / {len(cell.new_good)}"}
        for share, looks in itertools.product(SHARES, (0, LOOKS)):
            limit, _ = chosen(cell, share, looks)
            row[heading(share, looks)] = (
                f"{above(cell.new_bad, limit)} / {above(cell.new_good, limit)}"
            )
        rows.append(row)
    columns = {"set": text("set"), "good + bad": text("in"), "seed": text("seed")}
    columns |= {"new: bad / good": text("of")}
    columns |= {
        name: text(name)
        for name in itertools.starmap(heading, itertools.product(SHARES, (0, LOOKS)))
    }
    return "found / false alarms\n\n" + table(columns, rows)


def heading(share: float, looks: int) -> str:
    return f"{share:.0%}, {looks} looks" if looks else f"{share:.0%}"


def above(scores: Sequence[float], limit: float) -> int:
    return sum(score > limit for score in scores)


def kept_promises(cells: Sequence[Cell]) -> str:
    """In how many cells false alarms are as promised, and how much is found of a clean set's."""
    rows = []
    for share, looks in itertools.product(SHARES, (0, LOOKS)):
        outside, alarms, good, ratios, found = 0, 0, 0, list[float](), list[float]()
        for cell in cells:
            limit, promised = chosen(cell, share, looks)
            count = above(cell.new_good, limit)
            low, high = binom.interval(0.95, len(cell.new_good), promised)
            outside += not low <= count <= high
            alarms, good = alarms + count, good + len(cell.new_good)
            found.append(above(cell.new_bad, limit) / len(cell.new_bad))
            clean = clean_one(cell, cells)
            of_clean = above(clean.new_bad, chosen(clean, share, 0)[0]) / len(cell.new_bad)
            if cell.bad and of_clean:
                ratios.append(found[-1] / of_clean)
        rows.append(
            {
                "limit": heading(share, looks),
                "outside": f"{outside} of {len(cells)}",
                "alarms": f"{alarms / good:.1%}",
                "found": f"{np.mean(found):.1%}",
                "ratio": f"{sum(ratio >= 0.85 for ratio in ratios)} of {len(ratios)}",
            }
        )
    columns = {
        "limit": text("limit"), "outside the binomial interval": text("outside"),
        "false alarms": text("alarms"), "found": text("found"),
        "at least 0.85 of a clean set's": text("ratio"),
    }  # fmt: skip
    return "kept promises\n\n" + table(columns, rows)


def clean_one(cell: Cell, cells: Iterable[Cell]) -> Cell:
    for other in cells:
        same = (other.name, other.pictures, other.seed) == (cell.name, cell.pictures, cell.seed)
        if same and not other.bad:
            return other
    return cell


def counts(cells: Iterable[Cell]) -> str:
    """What is said of how many are bad."""
    rows = []
    told = right = 0
    for cell in cells:
        found = estimate_contamination(np.array(cell.suspicion), cell.seed)
        share = cell.bad / (cell.pictures + cell.bad)
        order = np.argsort(cell.suspicion)[::-1]
        truth = np.array(cell.truth)[order]
        said = "cannot be told"
        if found.rate is not None and found.interval is not None:
            low, high = found.interval
            said = f"{found.rate:.1%} ({low:.1%} to {high:.1%})"
            told, right = told + 1, right + (low <= share <= high)
        rows.append(
            {
                "set": cell.name, "in": f"{cell.pictures} + {cell.bad}", "seed": cell.seed,
                "out": f"{truth[: found.standing_out].sum()} of {found.standing_out}",
                "first": f"{truth[: found.look_first].sum()} of {found.look_first}",
                "said": said, "share": f"{share:.1%}",
            }
        )  # fmt: skip
    columns = {
        "set": text("set"), "good + bad": text("in"), "seed": text("seed"),
        "bad of those standing out": text("out"), "bad of those to look at": text("first"),
        "said": text("said"), "bad": text("share"),
    }  # fmt: skip
    return f"counts: an interval in {told} of {len(rows)} cells, right in {right}\n\n" + table(
        columns, rows
    )


def calibration(cells: Sequence[Cell]) -> str:
    """Confidence: each set by a curve fitted to the others, and by the one that is built in."""
    places = {cell.name: [] for cell in cells}  # type: dict[str, list[Floats]]
    truths = {cell.name: [] for cell in cells}  # type: dict[str, list[Floats]]
    for cell in cells:
        places[cell.name].append(above_good(np.array(cell.suspicion)))
        truths[cell.name].append(np.array(cell.truth, dtype=np.float64))
    x = {name: np.concatenate(found) for name, found in places.items()}
    y = {name: np.concatenate(found) for name, found in truths.items()}
    rows = []
    for name in x:
        others = [other for other in x if other != name]
        even, steep = fitted(
            np.concatenate([x[other] for other in others]),
            np.concatenate([y[other] for other in others]),
        )
        rows.append(
            {
                "set": name,
                "others": f"{error(1 / (1 + np.exp(even - steep * x[name])), y[name]):.3f}",
                "built": f"{error(confidence_of(x[name]), y[name]):.3f}",
            }
        )
    every_x, every_y = np.concatenate(list(x.values())), np.concatenate(list(y.values()))
    even, steep = fitted(every_x, every_y)
    confidence = confidence_of(every_x)
    curve = []
    for low in np.arange(BINS) / BINS:
        among = (confidence >= low) & (confidence < low + 1 / BINS)
        if among.any():
            curve.append(
                {
                    "said": f"{confidence[among].mean():.0%}",
                    "bad": f"{every_y[among].mean():.0%}",
                    "pictures": int(among.sum()),
                }
            )
    return (
        f"expected calibration error; of all {error(confidence, every_y):.3f}; "
        f"fitted to all of them even {even:.2f}, steep {steep:.2f}\n\n"
        + table(
            {"set": text("set"), "by the others": text("others"), "built in": text("built")}, rows
        )
        + "\n"
        + table(
            {"confidence said": text("said"), "bad": text("bad"), "pictures": text("pictures")},
            curve,
        )
    )


def fitted(x: Floats, y: Floats) -> tuple[float, float]:
    """Logistic regression."""

    def loss(weights: Floats) -> float:
        even, steep = weights
        logit = steep * x - even
        return float(np.mean(np.logaddexp(0, logit) - y * logit))

    even, steep = minimize(loss, np.array([4.0, 1.0])).x
    return float(even), float(steep)


def error(confidence: Floats, truth: Floats) -> float:
    """Expected calibration error in ``BINS`` bins of equal width."""
    bins = (confidence * BINS).astype(int).clip(0, BINS - 1)
    parts = [
        (bins == at).mean() * abs(confidence[bins == at].mean() - truth[bins == at].mean())
        for at in np.unique(bins)
    ]
    return float(np.sum(parts))


if __name__ == "__main__":
    main()
