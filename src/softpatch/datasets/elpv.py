"""ELPV: 2,624 electroluminescence photographs of solar cells, grey, 300 x 300 pixels.

The package ``elpv-dataset`` holds ``labels.csv``, which despite its name has no commas and no
header: a line is a picture's path, the probability of a defect and the kind of the module, ``mono``
or ``poly``crystalline, between blanks. Experts judged each cell by eye. Of a cell that is sound or
defective for sure, the probability is 0 or 1; who was not sure gave 1/3 to one more likely sound
and 2/3 to one more likely defective (Deitsch et al., Solar Energy 185, 2019).

====  ===========  ======  ======
p     kind here      mono    poly
====  ===========  ======  ======
0     good            588     920
1/3   unlikely        117     178
2/3   likely           56      50
1     defective       313     402
====  ===========  ======  ======

All files are sound and no two pictures alike, but there are no masks. Neither a split nor the
module of a cell is published, and pictures seem to follow each other module by module, so cells of
one module are in both halves. Cells of several makes are mixed: two or three busbars or none that
show, some modules darker than others; dark grains in poly cells are no defects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from softpatch.datasets.layout import HELD_OUT, Layout, good_samples, hold_out, pictures
from softpatch.datasets.package import Package
from softpatch.datasets.samples import GOOD, Category, Sample
from softpatch.errors import DatasetError

TABLE, IMAGES = "labels.csv", "images"
KINDS = (GOOD, "unlikely", "likely", "defective")  # by three times the probability
SURE, ALL = KINDS[3:], KINDS[1:]
ROW = re.compile(r"(\S+)\s+(\d+(?:\.\d+)?)\s+(mono|poly)")
PREFIX, GRADED = "elpv_", "_graded"


def find(root: Path, suffix: str) -> dict[str, Path]:
    """``root`` for each kind of module in the table, if the table's first line is one of ELPV's."""
    if not (root / TABLE).is_file() or not ROW.fullmatch(next(_lines(root), ("", ""))[1]):
        return {}
    return dict.fromkeys(sorted({f"{PREFIX}{module}{suffix}" for *_, module in _rows(root)}), root)


def read(name: str, root: Path, tested: tuple[str, ...]) -> Category:
    """Read one kind of module; a picture in the table that is not on disk stays in the category.

    Args:
        name: of the category.
        root: the folder of the table.
        tested: the kinds of defective pictures in the test set.
    """
    good: list[Path] = []
    defects: list[Sample] = []
    listed: set[Path] = set()
    for path, kind, module in sorted(_rows(root)):
        listed.add(path)
        if module != name.removeprefix(PREFIX).removesuffix(GRADED):
            continue
        if kind == GOOD:
            good.append(path)
        elif kind in tested:
            defects.append(Sample(path, kind))
    train, held_out = hold_out(good)
    if not train or not held_out:
        half = "test" if train else "training"
        raise DatasetError(f"{root / TABLE}: no good {half} pictures of {name}")
    test = good_samples(held_out) + defects
    unused = [path for path in pictures(root / IMAGES) if path not in listed]
    return Category(name, root, tuple(good_samples(train)), tuple(test), tuple(unused))


def _rows(root: Path) -> Iterator[tuple[Path, str, str]]:
    """Path, kind and kind of module of each picture."""
    seen: set[str] = set()
    for place, line in _lines(root):
        row = ROW.fullmatch(line)
        if row is None:
            raise DatasetError(f"{place}: expected a path, a probability and mono or poly")
        name, probability, module = row.groups()
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or name in seen:
            wrong = "is there already" if name in seen else f"is not below {root}"
            raise DatasetError(f"{place}: {name} {wrong}")
        seen.add(name)
        yield root / path, _kind(probability, place), module


def _kind(probability: str, place: str) -> str:
    """The kind of a probability, which the table has to 16 digits."""
    thirds = 3 * float(probability)
    if thirds > 3.01 or abs(thirds - round(thirds)) > 0.01:
        raise DatasetError(
            f"{place}: expected a probability of 0, 1/3, 2/3 or 1, got {probability}"
        )
    return KINDS[round(thirds)]


def _lines(root: Path) -> Iterator[tuple[str, str]]:
    """Each line's place, for error messages, and the line without blanks around it."""
    text = (root / TABLE).read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"{root / TABLE}, line {number}", line.strip()


def _layout(name: str, title: str, suffix: str, tested: tuple[str, ...], split: str) -> Layout:
    return Layout(
        name=name,
        title=title,
        licence="CC BY-NC-SA 4.0",
        url="https://github.com/zae-bayern/elpv-dataset",
        categories=tuple(f"{PREFIX}{module}{suffix}" for module in ("mono", "poly")),
        tree=f"""\
{TABLE}  (a line: path, probability of a defect and mono or poly, between blanks)
{IMAGES}/cell0001.png""",
        split=(
            "ours, since none is published: of the cells with probability 0, every "
            f"{HELD_OUT}th in order of names tests and the others train; {split}; no masks"
        ),
        find=partial(find, suffix=suffix),
        read=partial(read, tested=tested),
        package=Package("elpv_dataset", "data", "elpv"),
    )


ELPV = _layout(
    "elpv", "ELPV, solar cells", "", SURE,
    "those with 1 test as defective, those with 1/3 and 2/3 are left out",
)  # fmt: skip
ELPV_GRADED = _layout(
    "elpv_graded", "ELPV, doubtful cells too", GRADED, ALL,
    "those with 1 test as defective, with 2/3 as likely and with 1/3 as unlikely",
)  # fmt: skip
