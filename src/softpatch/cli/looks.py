"""What people decided about training pictures, made a limit."""

from __future__ import annotations

from pathlib import Path

from softpatch.auditing.decisions import Decisions, read_decisions
from softpatch.calling.threshold import Threshold
from softpatch.calling.words import of_so_many, rounded
from softpatch.cli.terminal import note
from softpatch.detectors import CalibratedDetector
from softpatch.errors import DatasetError
from softpatch.storage.lineage import DIGITS


def after_looks(detector: CalibratedDetector, path: Path) -> list[str]:
    """Choose the limits of a detector by a file of decisions; lines that say what that changed.

    Raises:
        DatasetError: the file cannot be followed, or is about none of the training pictures.
        NotFittedError: the model does not know which pictures its limit rests on.
    """
    decisions = read_decisions(path)
    for words in decisions.odd:
        note(f"{path}: {words}; left out")
    place = _training_pictures(detector, decisions)
    good = {name for one in decisions.keep for name in place.get(one, ())}
    # A picture that is kept is good; copies of it are removed for being copies.
    bad = {name for one in decisions.remove for name in place.get(one, ())} - good
    if not good and not bad:
        raise DatasetError(f"{path}: decides about none of the pictures that the model learned")
    others = len(decisions.keep) + len(decisions.remove) - len(place)
    if others:
        note(f"{others} of the pictures decided about are none that the model learned; left out")
    before, otherwise = detector.threshold_, detector.promise() is None
    chosen = detector.after_looks(good, bad)
    says = f"{len(good)} good and {len(bad)} bad of the training pictures are known now"
    was = "" if before is None else f"; the limit was {rounded(before)}"
    if was and otherwise:
        was += ", set in another way"
    return [says + was, *chosen.told(detector.image_names_), *_what_is_left(detector, chosen)]


def _training_pictures(detector: CalibratedDetector, decisions: Decisions) -> dict[str, list[str]]:
    """Of the pictures decided about, the names that the detector has for them.

    By content where both sides know it, with all copies; else by path.
    """
    names = detector.image_names_
    digests = detector.digests_ or [None] * len(names)
    by_digest: dict[str, list[str]] = {}
    digest_of = dict(zip(names, digests, strict=True))
    for name, digest in digest_of.items():
        if digest is not None:
            by_digest.setdefault(digest, []).append(name)
    by_path = {str(Path(name).resolve()): name for name in names}
    found = {}
    for name in (*decisions.keep, *decisions.remove):
        there = None
        if decisions.folder is not None:
            there = by_path.get(str((decisions.folder / name).resolve()))
        own = None if there is None else digest_of[there]
        digest = decisions.sha256.get(name, own)
        if digest is not None and (copies := by_digest.get(digest[:DIGITS])):
            found[name] = copies
        elif there is not None and own is None:
            found[name] = [there]
    return found


def _what_is_left(detector: CalibratedDetector, chosen: Threshold) -> list[str]:
    """What the promise assumes, and what more looks could change."""
    left = detector.to_look_at()
    if not left or len(left) >= chosen.pictures:  # suspects are among those left, too
        return []
    # See softpatch.calling.looks: of n pictures, k bad, no more than r / (n - k + 1) exceed it.
    most = chosen.expected * (chosen.pictures + 1) / (chosen.pictures - len(left) + 1)
    (parts,), base = of_so_many(most)
    largest, least = rounded(left[0][1]), rounded(left[-1][1])
    return [
        "that is so if new good pictures are like these and what was said is right; were "
        f"{len(left)} more of them bad, at most {parts:,} of {base:,}",
        f"the next {len(left)} to look at score {largest} to {least}; were they all bad, the limit "
        f"would be {rounded(detector.limit_without([name for name, _ in left]))}",
    ]
