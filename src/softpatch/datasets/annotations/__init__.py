"""Masks as annotation tools export them.

category.py      what those about a category mark of it
reading.py       which files are of a tool, and what they mark
matching.py      which picture of a category a tool means
marked.py        what a file marks, which shapes.py draws
coco.py, cvat.py, label_me.py, label_studio.py, voc.py, yolo.py  a tool's files each
"""

from softpatch.datasets.annotations.category import find_annotations
from softpatch.datasets.annotations.reading import is_annotations, read_annotated

__all__ = ["find_annotations", "is_annotations", "read_annotated"]
