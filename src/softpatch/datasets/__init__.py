"""Data sets on disk, contamination of their training sets, and a synthetic product line."""

from softpatch.datasets.check import find_problems
from softpatch.datasets.contamination import Contamination, contaminate, read_manifest
from softpatch.datasets.dataset import LAYOUTS, Dataset, open_dataset
from softpatch.datasets.layout import Layout
from softpatch.datasets.mvtec import read_category
from softpatch.datasets.samples import Category, Sample
from softpatch.datasets.synthetic import make_product_line

__all__ = [
    "LAYOUTS",
    "Category",
    "Contamination",
    "Dataset",
    "Layout",
    "Sample",
    "contaminate",
    "find_problems",
    "make_product_line",
    "open_dataset",
    "read_category",
    "read_manifest",
]
