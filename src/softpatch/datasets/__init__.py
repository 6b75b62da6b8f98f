"""Data sets on disk, contamination of their training sets, and a synthetic product line."""

from softpatch.datasets.check import find_problems, remarks, require_marks, survey
from softpatch.datasets.contamination.draw import (
    Contamination,
    contaminate,
    largest_noise,
    read_manifest,
)
from softpatch.datasets.contamination.kinds import KINDS
from softpatch.datasets.dataset import LAYOUTS, Dataset, open_dataset
from softpatch.datasets.layout import Layout
from softpatch.datasets.mvtec import read_category
from softpatch.datasets.samples import Category, Sample, read_mask
from softpatch.datasets.synthetic import make_product_line

__all__ = [
    "KINDS",
    "LAYOUTS",
    "Category",
    "Contamination",
    "Dataset",
    "Layout",
    "Sample",
    "contaminate",
    "find_problems",
    "largest_noise",
    "make_product_line",
    "open_dataset",
    "read_category",
    "read_manifest",
    "read_mask",
    "remarks",
    "require_marks",
    "survey",
]
