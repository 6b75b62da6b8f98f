"""Damaged model files and exports: each is refused in one line, or scores as before.

Models of five methods, ONNX, and both files of OpenVINO, with flipped bits, a zeroed page, a cut,
or bytes that have changed places, half of them in a file's first 4,096 bytes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import tempfile
from pathlib import Path

from benchmarks.faults.commands import SMALL, a_place
from benchmarks.faults.forks import run
from benchmarks.faults.mutations import mutated
from benchmarks.faults.tally import Tally, chosen
from softpatch.detectors.load import load
from softpatch.errors import SoftPatchError
from softpatch.runtime.engine import open_model
from softpatch.runtime.images import read_levels

METHODS = ("softpatch", "softpatch-lof", "patchcore", "padim", "random-ensemble")
# Each with the file that is damaged.
FILES = (
    *((f"{method}.softpatch", f"{method}.softpatch") for method in METHODS),
    ("part.onnx", "part.onnx"), ("part.xml", "part.xml"), ("part.xml", "part.bin"),
)  # fmt: skip
BATCH = 40  # files in one process
SECONDS = 60  # for one of them
PICTURE = "picture.png"


def campaign(count: int, seed: int, only: str) -> Tally:
    """Damage ``count`` files."""
    tally = Tally("damage", count)
    files = {file: opened for opened, file in FILES}
    names = chosen(files, only)
    with tempfile.TemporaryDirectory() as root, a_place(Path(root)) as place:
        sound = Path(root) / "sound"
        sound.mkdir()
        shutil.copy(place.folder / "photos" / "0.png", sound / PICTURE)
        for number, file in enumerate(names):
            make(place.folder, files[file])
            for path in place.folder.glob(f"{Path(files[file]).stem}.*"):
                shutil.copy(path, sound)
            share = len(range(number, count, len(names)))
            one_file(sound, files[file], file, share, f"{seed} {file}", tally)
    return tally


def make(here: Path, opened: str) -> None:
    """Write a sound model file or export."""
    words = ["export", "part.softpatch", "-o", opened, "--pictures", "0"]
    if opened.endswith(".softpatch"):
        method = opened.removesuffix(".softpatch")
        words = ["fit", "photos", "-o", opened, "--method", method, *SMALL]
    ended = run(here, *words)
    assert ended.code == 0, ended.said


def one_file(sound: Path, opened: str, file: str, count: int, seed: str, tally: Tally) -> None:
    """Damage one file, in processes of ``BATCH``, of which one that dies has one file's fault."""
    done = 0
    while done < count:
        with tempfile.TemporaryFile() as results:
            child = os.fork()
            if child == 0:
                batch = range(done, min(done + BATCH, count))
                os._exit(_child(sound, opened, file, batch, seed, results.fileno()))
            _, status = os.waitpid(child, 0)
            results.seek(0)
            lines = results.read().splitlines()
        for line in lines:
            end, problem = json.loads(line)
            tally.add(f"{file}: {end}", problem and f"{file}, number {done}: {problem}")
            done += 1
        code = os.waitstatus_to_exitcode(status)
        if code:
            how = "took too long" if code == -signal.SIGALRM else f"a crash ({code})"
            tally.add(f"{file}: {how}", f"{file}, number {done}: {how}")
            done += 1


def _child(sound: Path, opened: str, file: str, batch: range, seed: str, results: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        for path in sound.glob(f"{Path(opened).stem}.*"):
            shutil.copy(path, folder)
        content = (sound / file).read_bytes()
        picture = sound / PICTURE
        expected = score(sound / opened, picture)
        for number in batch:
            signal.alarm(SECONDS)
            kind, damaged = mutated(content, random.Random(f"{seed} {number}"))
            (Path(folder) / file).write_bytes(damaged)
            end, problem = attempt(Path(folder) / opened, picture, expected)
            said = problem and f"{kind}: {problem}"
            os.write(results, (json.dumps([end, said]) + "\n").encode())
    return 0


def attempt(path: Path, picture: Path, expected: bytes) -> tuple[str, str | None]:
    """How it ends to open and use a damaged model, and what is wrong with that."""
    try:
        found = score(path, picture)
    except (SoftPatchError, OSError) as error:
        line = str(error)
        clear = "\n" not in line and line.startswith(f"{path}: ")
        return "refused", None if clear else f"not a line that names the file: {line!r}"
    except Exception as error:
        return "a traceback", f"{type(error).__name__}: {error}"
    if found != expected:
        return "another result", "another result"
    return "scores as before", None


def score(path: Path, picture: Path) -> bytes:
    """All that a model says of a picture, to the bit."""
    if path.suffix == ".softpatch":
        found = load(path, device="cpu").predict(picture)
        about = f"{found.score} {found.threshold} {found.size} {found.box}"
        heat: bytes = found.anomaly_map.tobytes()
        return about.encode() + heat
    run, metadata = open_model(path, threads=1)
    outputs = run(read_levels(picture)[0][None])
    numbers: bytes = b"".join(outputs[name].tobytes() for name in sorted(outputs))
    return json.dumps(metadata).encode() + numbers
