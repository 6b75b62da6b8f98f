"""The commands that write, each with files to work on, and what its files may look like."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from benchmarks.faults.forks import forking, run
from benchmarks.processes import say
from softpatch.detectors.load import load
from softpatch.export.formats import onnx_model
from softpatch.export.graph import DetectorGraph
from softpatch.runtime.partial import is_passing

SMALL = ("--resize", "64", "--crop", "64", "--embedding", "concat", "--device", "cpu")
State = Mapping[str, str]  # path below the folder -> digest of the content


@dataclass(frozen=True)
class Command:
    """A command that writes, and what goes before it.

    Attributes:
        words: it itself.
        before: commands that make what it replaces.
        together: endings of files that only mean something together, and are taken away before.
        growing: names of files that get a line for each picture as it is done.
    """

    words: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    together: tuple[str, ...] = ()
    growing: tuple[str, ...] = ()


def _model(*words: str) -> tuple[str, ...]:
    return (words[0], "part.softpatch", *words[1:])


COMMANDS: Mapping[str, Command] = MappingProxyType({
    "fit": Command(("fit", "photos", "-o", "part.softpatch", "--suspects", "all.csv", *SMALL),
                   (("fit", "today", "-o", "part.softpatch", "--suspects", "all.csv", *SMALL),)),
    "update": Command(_model("update", "today", "--suspects", "new.csv", "--device", "cpu")),
    "threshold": Command(_model("threshold", "--value", "3")),
    "merge": Command(_model("merge", "other.softpatch", "-o", "both.softpatch"),
                     (("threshold", "other.softpatch", "--value", "9", "-o", "both.softpatch"),)),
    "rollback": Command(_model("rollback"), (_model("update", "today", "--device", "cpu"),)),
    "clean": Command(("clean", "photos", "decisions.json")),
    "clean --undo": Command(("clean", "photos", "--undo"),
                            (("clean", "photos", "decisions.json"),)),
    "audit": Command(("audit", "photos", "-o", "report", *SMALL),
                     (("audit", "today", "-o", "report", *SMALL),),
                     together=("audit.csv", "audit.json", "audit.html")),
    "predict": Command(_model("predict", "today", "-o", "out", "--report", "--device", "cpu"),
                       (_model("predict", "photos", "-o", "out", "--report", "--device", "cpu"),),
                       together=("predictions.csv", "predictions.json", "predictions.html",
                                 ".png.png"),
                       growing=("predictions.unfinished.jsonl",)),
    "watch": Command(_model("watch", "inbox", "-o", "seen", "--move", "done", "--once",
                            "--interval", "0.01", "--patience", "1", "--device", "cpu"),
                     growing=("results.jsonl",)),
    "fit-many": Command(("fit-many", "plant", "-o", "models", "--report", "--jobs", "1", *SMALL),
                        together=("fleet.csv", "fleet.json", "fleet.html")),
    "export to OpenVINO": Command(_model("export", "-o", "part.xml", "--pictures", "1"),
                                  (("export", "other.softpatch", "-o", "part.xml"),)),
    "export to ONNX": Command(_model("export", "-o", "part.onnx", "--pictures", "1"),
                              (("export", "other.softpatch", "-o", "part.onnx"),)),
})  # fmt: skip


@dataclass
class Place:
    """A folder in which commands run, again and again from the same start.

    All of them run at the same path, since models remember the names of pictures.
    """

    root: Path
    starts: dict[str, Path] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where they run."""
        return self.root / "here"

    def begin(self, name: str) -> None:
        """Have the files there that a command starts with."""
        if name not in self.starts:
            self._put(self.root / "parts")
            for words in COMMANDS[name].before:
                ended = run(self.folder, *words)
                assert ended.code == 0, ended.said
            start = self.root / "starts" / name
            shutil.copytree(self.folder, start)
            self.starts[name] = start
        self._put(self.starts[name])

    def state(self) -> State:
        """What is there now, but for what is being written."""
        return {
            path.relative_to(self.folder).as_posix(): digest(path)
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and not passing(path.relative_to(self.folder))
        }

    def left_behind(self) -> list[str]:
        """What killed runs have left under temporary names."""
        paths = (path.relative_to(self.folder) for path in self.folder.rglob("*"))
        return sorted(path.as_posix() for path in paths if passing(path))

    def _put(self, files: Path) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(files, self.folder)


def passing(path: Path) -> bool:
    return any(is_passing(Path(part)) for part in path.parts)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def a_place(root: Path) -> Iterator[Place]:
    """With pictures, two models and decisions; the network and the graphs are made once."""
    say("preparing models and pictures")
    with forking(), pytest.MonkeyPatch.context() as patch:
        place = prepared(root)
        patch.setattr("softpatch.export.export.onnx_model", graphs_made_once(root / "graphs"))
        yield place


def prepared(root: Path) -> Place:
    place = Place(root)
    here = place.folder
    pictures(here / "photos", 8, 0)
    pictures(here / "today", 5, 100)
    pictures(here / "inbox", 4, 200)
    for number, camera in enumerate(("left", "right")):
        pictures(here / "plant" / camera, 5, 300 + 50 * number)
    decisions = {"0.png": "remove", "3.png": "remove", "5.png": "keep", "7.png": "remove"}
    about = {"format": "softpatch-decisions", "version": 1, "decisions": decisions}
    (here / "decisions.json").write_text(json.dumps(about))
    for name in ("seen", "done"):
        (here / name).mkdir()
    for source, name in (("photos", "part"), ("today", "other")):
        ended = run(here, "fit", source, "-o", f"{name}.softpatch", *SMALL)
        assert ended.code == 0, ended.said
    shutil.copytree(here, root / "parts")
    load(here / "part.softpatch", device="cpu").predict(here / "photos" / "0.png")
    return place


def graphs_made_once(folder: Path) -> Callable[..., Any]:
    """In place of ``onnx_model``, which takes most of an export's time and writes nothing."""
    folder.mkdir()

    def made(graph: DetectorGraph, levels: Iterable[Any]) -> Any:
        import onnx

        tensors = graph.state_dict().values()
        name = hashlib.sha256(b"".join(one.cpu().numpy().tobytes() for one in tensors)).hexdigest()
        path = folder / name
        if not path.exists():
            onnx.save_model(onnx_model(graph, levels), path)
        return onnx.load_model(path)

    return made


def pictures(folder: Path, count: int, seed: int) -> None:
    """Small ones: the same gradient with fresh noise, in every fifth one a dark spot."""
    folder.mkdir(parents=True)
    for index in range(count):
        Image.fromarray(picture(seed + index)).save(folder / f"{index}.png")


def picture(seed: int) -> npt.NDArray[np.uint8]:
    """A small one."""
    noise = np.random.default_rng(seed).integers(0, 20, size=(48, 64, 3))
    made = (np.linspace(40, 200, 64)[None, :, None] + noise).astype(np.uint8)
    if seed % 5 == 4:
        made[10:30, 20:40] = 10
    return made
