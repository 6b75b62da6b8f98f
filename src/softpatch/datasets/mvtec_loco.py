"""MVTec LOCO AD: defects of structure and of logic, with several masks a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from softpatch.datasets import mvtec
from softpatch.datasets.layout import Layout, folders_that, pictures
from softpatch.datasets.names import subfolders
from softpatch.datasets.samples import Category, Sample

KINDS = ("logical_anomalies", "structural_anomalies")


def _is_category(folder: Path) -> bool:
    return mvtec.is_category(folder) and any((folder / "test" / kind).is_dir() for kind in KINDS)


def read(name: str, folder: Path) -> Category:
    """Read one category."""
    category = mvtec.read_published(name, folder)
    truth = {
        (kind.name, stem.name): tuple(pictures(stem))
        for kind in subfolders(folder / "ground_truth")
        for stem in subfolders(kind)
    }

    def masked(sample: Sample) -> Sample:
        masks = truth.pop((sample.kind, sample.path.stem), ())
        return replace(sample, masks=masks, mask_threshold=0)  # pixels hold the defect's number

    test = tuple(masked(sample) if sample.defective else sample for sample in category.test)
    unused = category.unused + tuple(mask for masks in truth.values() for mask in masks)
    return replace(category, test=test, unused=unused)


MVTEC_LOCO = Layout(
    name="mvtec_loco",
    title="MVTec LOCO AD",
    licence="CC BY-NC-SA 4.0",
    url="https://www.mvtec.com/company/research/datasets/mvtec-loco",
    categories=(
        "breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors",
    ),
    tree="""\
<category>/train/good/*.png
<category>/validation/good/*.png  (not used)
<category>/test/good/*.png
<category>/test/logical_anomalies/*.png
<category>/test/structural_anomalies/*.png
<category>/ground_truth/<defect>/<picture>/*.png  (the mask is their union)""",
    split="as published; validation is in neither half",
    find=folders_that(_is_category),
    read=read,
)  # fmt: skip
