"""Data sets on disk, contamination of their training sets, and a synthetic product line."""

from softpatch.datasets.contamination import Contamination, read_manifest
from softpatch.datasets.mvtec import Category, Sample, read_category
from softpatch.datasets.stub import KINDS, Dataset, contaminate, find_problems, open_dataset
from softpatch.datasets.synthetic import make_product_line

__all__ = [
    "KINDS",
    "Category",
    "Contamination",
    "Dataset",
    "Sample",
    "contaminate",
    "find_problems",
    "open_dataset",
    "make_product_line",
    "read_category",
    "read_manifest",
]
