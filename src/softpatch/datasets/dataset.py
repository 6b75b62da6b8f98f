"""Opens a data set in any layout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from softpatch.datasets.btad import BTAD
from softpatch.datasets.elpv import ELPV, ELPV_GRADED
from softpatch.datasets.folder import FOLDER
from softpatch.datasets.kolektor import KOLEKTOR
from softpatch.datasets.layout import Layout, tree_found
from softpatch.datasets.magnetic_tile import MAGNETIC_TILE
from softpatch.datasets.mpdd import MPDD
from softpatch.datasets.mvtec import MVTEC
from softpatch.datasets.mvtec_3d import MVTEC_3D
from softpatch.datasets.mvtec_loco import MVTEC_LOCO
from softpatch.datasets.names import subfolders
from softpatch.datasets.samples import Category
from softpatch.datasets.visa import VISA
from softpatch.errors import DatasetError, UsageError

# A folder that fits several layouts belongs to the first of them.
_LAYOUTS = (MVTEC_3D, MVTEC_LOCO, MPDD, MVTEC, BTAD, VISA, KOLEKTOR, MAGNETIC_TILE, ELPV, FOLDER)
_NAMED = (ELPV_GRADED,)  # never recognised: pictures of another layout, tested otherwise
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {layout.name: layout for layout in (*_LAYOUTS, *_NAMED)}
)


@dataclass(frozen=True)
class Dataset:
    """A data set on disk, not yet read.

    Attributes:
        layout: of its folders.
        root: its folder.
        sources: category -> the path that the layout reads it from.
    """

    layout: Layout
    root: Path
    sources: Mapping[str, Path]

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories found, sorted."""
        return tuple(sorted(self.sources))

    def read(self, category: str) -> Category:
        """List the pictures and masks of one category.

        Raises:
            DatasetError: no such category, or it has no training or no test pictures.
        """
        if category not in self.sources:
            raise DatasetError(
                f"{self.root}: no category is called {category!r} in layout {self.layout.name}; "
                f"there are {', '.join(self.categories)}"
            )
        return self.layout.read(category, self.sources[category])


def open_dataset(root: Path, layout: str | None = None) -> Dataset:
    """Find the categories of a data set.

    Args:
        root: the folder of the categories, or of one category; or the name of a layout with a
            ``package``, unless a data set lies in a folder called so.
        layout: a name of ``LAYOUTS``; None detects it.

    Raises:
        DatasetError: no such folder, another layout (the message shows the tree expected and the
            tree found), or several layouts side by side.
        UsageError: no layout has that name.
        MissingExtraError: the package of the layout that ``root`` names is not installed.
    """
    if layout is not None and layout not in list(LAYOUTS):  # of a grid it may be anything
        raise UsageError(f"no layout is called {layout!r}; there are {', '.join(LAYOUTS)}")
    found = _find(root, [LAYOUTS[layout]] if layout else _LAYOUTS)
    named = LAYOUTS.get(str(root))
    if not found and named is not None and named.package is not None:
        root, layout = named.package.root(), layout or named.name
        found = _find(root, [LAYOUTS[layout]])
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    if not found:
        raise DatasetError(_refusal(root, layout))
    if len(found) > 1:
        names = "; ".join(f"{each.layout.name}: {', '.join(each.categories)}" for each in found)
        raise DatasetError(f"{root}: holds several layouts ({names}); say which to read")
    return found[0]


def _find(root: Path, layouts: Iterable[Layout]) -> list[Dataset]:
    """``root`` in each layout that finds categories there that no earlier layout found."""
    found: list[Dataset] = []
    taken: set[str] = set()
    for layout in layouts:
        if layout is FOLDER and found:
            break  # nearly any folder is in that layout
        sources = {name: source for name, source in layout.find(root).items() if name not in taken}
        if sources:
            found.append(Dataset(layout, root, sources))
            taken |= set(sources)
    return found


def _refusal(root: Path, layout: str | None) -> str:
    expected = LAYOUTS[layout or "mvtec"]
    others = "" if layout else " (or another layout: softpatch datasets lists them)"
    return (
        f"{root}: not in {'layout ' + layout if layout else 'a known layout'}; expected "
        f"{expected.paths}{others}, found {tree_found(root)}{_hint(root)}"
    )


def _hint(root: Path) -> str:
    """The folder that may have been meant: this one in another layout, or one a level off."""
    known = [each for each in _LAYOUTS if each is not FOLDER]
    parent = root.resolve().parent
    try:
        near = [each for folder in (root, *subfolders(root)) for each in _find(folder, known)]
        # The parent is meant if it is read as a whole: one category, or a table of all.
        near += [each for each in _find(parent, known) if parent in each.sources.values()]
    except (OSError, DatasetError):  # problems beside the root are not the user's question
        return ""
    return f"; {near[0].root} is in layout {near[0].layout.name}" if near else ""
