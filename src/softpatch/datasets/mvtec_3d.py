"""MVTec 3D-AD: its colour pictures; the point clouds beside them are not read."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from softpatch.datasets import mvtec
from softpatch.datasets.layout import Layout, folders_that
from softpatch.datasets.samples import GOOD


def _is_category(folder: Path) -> bool:
    return (folder / "train" / GOOD / "rgb").is_dir() and (folder / "test").is_dir()


MVTEC_3D = Layout(
    name="mvtec_3d",
    title="MVTec 3D-AD (colour pictures)",
    licence="CC BY-NC-SA 4.0",
    url="https://www.mvtec.com/company/research/datasets/mvtec-3d-ad",
    categories=(
        "bagel", "cable_gland", "carrot", "cookie", "dowel", "foam", "peach", "potato", "rope",
        "tire",
    ),
    tree="""\
<category>/train/good/rgb/*.png
<category>/validation/good/rgb/*.png  (not used)
<category>/test/good/rgb/*.png
<category>/test/<defect>/rgb/*.png
<category>/test/<defect>/gt/*.png  (optional)""",
    split="as published; validation is in neither half",
    find=folders_that(_is_category),
    read=partial(mvtec.read_published, below="rgb", masks="test/{}/gt"),
)  # fmt: skip
