"""Data sets on disk, contamination of their training sets, and a synthetic product line."""

from softpatch.datasets.contamination import Contamination, contaminate, read_manifest
from softpatch.datasets.mvtec import Category, Sample, read_category
from softpatch.datasets.synthetic import make_product_line

__all__ = [
    "Category",
    "Contamination",
    "Sample",
    "contaminate",
    "make_product_line",
    "read_category",
    "read_manifest",
]
