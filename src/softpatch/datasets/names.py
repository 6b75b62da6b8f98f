"""What folders of a data set are called, whatever the case, and blanks or dashes between words."""

from __future__ import annotations

import os
from pathlib import Path

from softpatch.runtime.listing import why_no_folder

GOOD = "good"
GOOD_NAMES = {GOOD, "ok", "okay", "normal", "defect_free", "no_defect", "no_defects", "nodefect"}
MASK_NAMES = {
    "mask", "masks", "ground_truth", "groundtruth", "gt", "label", "labels", "annotation",
    "annotations", "segmentation", "segmentations",
}  # fmt: skip
HALVES = {"train", "training", "val", "valid", "validation", "test"}
# Neither good nor defective: what somebody or some program has put there.
LEFTOVERS = {
    "result", "results", "prediction", "predictions", "heatmap", "heatmaps", "output", "outputs",
    "quarantine", "unlabelled", "unlabeled", "unlabelled_pictures", "unknown", "undecided",
    "unsorted", "unsure", "unclear", "unclassified", "to_sort", "todo", "backup", "backups", "old",
    "tmp", "temp", "trash", "thumbs", "thumbnails", "readme", "doc", "docs",
}  # fmt: skip


def is_good(name: str) -> bool:
    """Whether a folder of that name holds good pictures."""
    return _plain(name) in GOOD_NAMES


def is_of_masks(name: str) -> bool:
    """Whether a folder of that name holds masks."""
    return _plain(name) in MASK_NAMES


def is_leftover(name: str) -> bool:
    """Whether a folder of that name holds neither good pictures nor a kind of defect."""
    return _plain(name) in LEFTOVERS or _plain(name).endswith("_quarantine")


def is_half(name: str) -> bool:
    """Whether a folder of that name holds folders of pictures, to train on or to test."""
    return _plain(name) in HALVES


def is_kind(name: str) -> bool:
    """Whether a folder of that name holds a kind of defect."""
    return not (is_good(name) or is_of_masks(name) or is_leftover(name) or is_half(name))


def subfolders(folder: Path) -> list[Path]:
    """Sorted subfolders, without locked ones and those that no command reads; or none."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    access = os.R_OK | os.X_OK  # a disk's lost+found is locked
    return [
        entry
        for entry in entries
        if entry.is_dir() and os.access(entry, access) and why_no_folder(entry) is None
    ]


def good_folders(folder: Path) -> list[Path]:
    """Its subfolders of good pictures."""
    return [entry for entry in subfolders(folder) if is_good(entry.name)]


def child(folder: Path, name: str) -> Path:
    """The subfolder of that name, or else of that name in another case."""
    if (folder / name).is_dir():
        return folder / name
    alike = (entry for entry in subfolders(folder) if _plain(entry.name) == _plain(name))
    return next(alike, folder / name)


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")
