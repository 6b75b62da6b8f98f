"""Where images come from: a folder without the excluded ones, or a URL with ``--engine ray``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from softpatch.cli.options import option
from softpatch.cli.terminal import note
from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.auditing.decisions import Decisions
    from softpatch.detectors import Detector
    from softpatch.distributed.cluster import Cluster
    from softpatch.images.image_source import ImageSource
    from softpatch.runtime.listing import LeftOut

of_cluster = partial(option, panel="On a Ray cluster")
ENGINE = of_cluster(
    "local, or ray, which takes a URL such as s3://bucket/photos, too. "
    "Needs the extra: pip install 'softpatch[ray]'",
    default="local",
)
ADDRESS = of_cluster(
    "Cluster that this machine is part of: auto or HOST:PORT.  [one is started here]"
)


@contextmanager
def cluster_of(engine: str, address: str | None) -> Iterator[Cluster | None]:
    """The cluster to work on while the block runs; None for this machine alone."""
    check_engine(engine, address)
    if engine == "local":
        yield None
        return
    from softpatch.distributed.cluster import connected

    with connected(address) as cluster:
        yield cluster


def check_engine(engine: str, address: str | None) -> None:
    """Raise UsageError for an address without a cluster."""
    if engine == "local" and address is not None:
        raise UsageError("--address goes with --engine ray")


def images_of(
    location: str, cluster: Cluster | None, exclude: Path | None
) -> Sequence[Path | ImageSource]:
    """The images below a folder, without those of a file of decisions, or on a cluster a URL.

    Raises:
        DatasetError: no such folder, or no images in it.
        UsageError: a URL without a cluster, or with ``exclude``.
    """
    if "://" not in location:
        return without(exclude, listed(Path(location)), Path(location))
    if cluster is None:
        raise UsageError(f"{location}: URLs are read with --engine ray")
    if exclude is not None:
        raise UsageError("--exclude goes with a folder, not with a URL")
    return found_at(location)


def found_at(location: str) -> Sequence[Path | ImageSource]:
    """The images below a folder or URL, as ``find_pictures``; notes what is left out, and why."""
    from softpatch.distributed.remote_images import find_pictures
    from softpatch.runtime.listing import LeftOut

    left_out = LeftOut()
    found = find_pictures(location, left_out)
    note_left_out(location, left_out)
    return found


def listed(folder: Path) -> list[Path]:
    """The images below a folder; notes what is left out, and why.

    Raises:
        DatasetError: no such folder, or no images in it.
    """
    from softpatch.runtime.listing import LeftOut, list_images

    left_out = LeftOut()
    pictures = list_images(folder, left_out)
    note_left_out(folder, left_out)
    return pictures


def note_left_out(where: object, left_out: LeftOut) -> None:
    """Say what a listing has left out, if anything."""
    if left_out:
        note(f"left out of {where}: {left_out}")


def decisions_in(path: Path) -> Decisions:
    """What a file of decisions says; notes the entries that cannot be followed."""
    from softpatch.auditing.decisions import read_decisions

    decisions = read_decisions(path)
    for words in decisions.odd:
        note(f"{path}: {words}; this entry is left out")
    return decisions


def without(decisions: Path | None, pictures: Sequence[Path], folder: Path) -> list[Path]:
    """The images without those decided to be removed; notes how many those are."""
    if decisions is None:
        return list(pictures)
    from softpatch.auditing.decisions import without_removed

    kept, unknown = without_removed(pictures, folder, decisions_in(decisions))
    note(f"left out {len(pictures) - len(kept)} picture(s), as {decisions} says")
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        note(f"not in {folder}, so not left out: {unknown[0]}{more}")
    return kept


def learned_before(detector: Detector, pictures: Sequence[Path]) -> set[Path]:
    """The pictures whose files the model knows, after a second run on the same folder, say."""
    from softpatch.storage.lineage import image_digests

    known = set(detector.digests_) - {None}
    digests = image_digests(pictures)
    return {path for path, digest in zip(pictures, digests, strict=True) if digest in known}
