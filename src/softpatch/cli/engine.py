"""``--engine``: what ``fit``, ``predict``, ``audit`` and ``benchmark`` share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softpatch.errors import UsageError

if TYPE_CHECKING:
    from softpatch.distributed.cluster import Cluster
    from softpatch.images.sources import ImageSource

_CLUSTER = "On a Ray cluster"

Engine = Annotated[
    str,
    typer.Option(
        rich_help_panel=_CLUSTER,
        help="local, or ray; FOLDER may then be a URL such as s3://bucket/photos. "
        "Needs the extra: pip install 'softpatch[ray]'",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_CLUSTER,
        help="Of a running cluster that this machine is part of: auto or HOST:PORT.  "
        "[started on this machine]",
    ),
]
Coreset = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_CLUSTER,
        help="exact: as without a cluster; sharded: no machine holds all patches; auto: exact up "
        "to 2 million patches.  [auto]",
    ),
]


@contextmanager
def cluster_of(engine: str, address: str | None) -> Iterator[Cluster | None]:
    """The cluster to work on while the block runs; None works here.

    Raises:
        UsageError: no such engine, or an address without one that takes it.
    """
    check_engine(engine, address)
    if engine == "local":
        yield None
        return
    from softpatch.distributed.cluster import connected

    with connected(address) as cluster:
        yield cluster


def check_engine(engine: str, address: str | None) -> None:
    """Raise UsageError for what ``cluster_of`` would not take."""
    if engine not in ("local", "ray"):
        raise UsageError(f"--engine must be local or ray, got {engine!r}")
    if engine == "local" and address is not None:
        raise UsageError("--address goes with --engine ray")


def pictures_of(
    location: str, cluster: Cluster | None, exclude: Path | None
) -> Sequence[Path | ImageSource]:
    """The pictures below a folder or, on a cluster, a URL, without those to be left out.

    Raises:
        DatasetError: no such folder, or no pictures in it.
        UsageError: a URL without a cluster, or decisions about pictures behind one.
    """
    from softpatch.cli.exclude import without
    from softpatch.runtime.images import list_images

    if "://" not in location:
        return without(exclude, list_images(Path(location)), Path(location))
    if cluster is None:
        raise UsageError(f"{location}: URLs are read with --engine ray")
    if exclude is not None:
        raise UsageError("--exclude goes with a folder, not with a URL")
    from softpatch.distributed.pictures import find_pictures

    return find_pictures(location)
