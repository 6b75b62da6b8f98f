"""What a camera needs from people, and the commands to start with."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from softpatch.calling.contamination import SEVERAL
from softpatch.fleet.drift import Drift
from softpatch.fleet.fitting import CHECKED, FAILED, GONE, KEPT, Learned, Visit

# Most urgent first.
CODES = ("failed", "drifted", "gone", "bad pictures", "other light", "unreadable", "few pictures")
OK = "ok"
NAMED = 3  # unreadable pictures that are listed
BY_CHANCE = 0.02  # of good pictures, some sets have as many that stand out


@dataclass(frozen=True)
class Advice:
    """One thing to attend to."""

    code: str  # one of ``CODES``
    text: str
    commands: tuple[str, ...] = ()  # to run, in order


def advise(visit: Visit, again: str) -> list[Advice]:
    """Advice on a camera, most urgent first; ``again`` is the command to add options to."""
    name = shlex.quote(visit.camera)
    audit = shlex.join(["softpatch", "audit", str(visit.folder), "-o", f"audit/{visit.camera}"])
    scoring = ["softpatch", "predict", str(visit.model), str(visit.folder)]
    look = shlex.join([*scoring, "-o", f"look/{visit.camera}", "--report"])
    if visit.outcome == FAILED:
        return [Advice("failed", str(visit.error), (f"{again} --only {name}",))]
    if visit.outcome == GONE:
        text = f"no pictures in {visit.folder} any more; if the camera is retired, delete its model"
        return [Advice("gone", text)]
    found = []
    drift, learned = visit.drift, visit.learned
    if drift is not None and drift.drifted and visit.outcome in (KEPT, CHECKED):
        kept = "; the model was not fitted again" if visit.outcome == KEPT else ""
        text = f"{in_words(drift)}{kept}: look at them, and accept them if they are right"
        found.append(Advice("drifted", text, (look, f"{again} --only {name} --force")))
    if learned is not None and _stand_out(learned):
        out = f"{len(learned.suspects or ())} of {learned.pictures} stand out"
        text = f"{out}; {share_in_words(learned)}"
        found.append(Advice("bad pictures", text, (audit,)))
    if drift is not None and (light := light_in_words(drift)):
        commands = () if drift.drifted else (look,)
        found.append(Advice("other light", f"the new pictures {light}", commands))
    if visit.unreadable:
        names = ", ".join(Path(path).name for path, _ in visit.unreadable[:NAMED])
        more = ", ..." if len(visit.unreadable) > NAMED else ""
        text = f"{len(visit.unreadable)} picture(s) cannot be read: {names}{more}"
        found.append(Advice("unreadable", text, (audit,)))
    promise = None if learned is None else learned.promise
    if promise is not None and promise.missing:
        found.append(Advice("few pictures", str(promise)))
    return sorted(found, key=lambda advice: CODES.index(advice.code))


def in_words(drift: Drift) -> str:
    """Such as ``31 of 40 new pictures lie outside what 97 % of the training pictures lie in``."""
    found = drift.compared
    if found is None:
        return f"{drift.new} new pictures, which cannot be compared with those it was fitted on"
    return (
        f"{found.outside} of {found.new} new pictures ({found.low:.0%} to {found.high:.0%}) lie "
        f"outside what {1 - found.expected:.0%} of the training pictures lie within"
    )


def light_in_words(drift: Drift) -> str:
    """Such as ``are darker by 12% of the range from black to white``; empty if nothing changed."""
    words = []
    if drift.brightness is not None:
        way = "brighter" if drift.brightness > 0 else "darker"
        words.append(f"are {way} by {abs(drift.brightness):.0%} of the range from black to white")
    if drift.sharpness is not None:
        way = "stronger" if drift.sharpness > 0 else "weaker"
        words.append(f"have {2 ** abs(drift.sharpness):.1f} times {way} fine detail")
    return " and ".join(words)


def _stand_out(learned: Learned) -> bool:
    """Whether more pictures do than of good ones alone."""
    return len(learned.suspects or ()) >= max(SEVERAL, BY_CHANCE * learned.pictures)


def share_in_words(learned: Learned) -> str:
    """Such as ``about 10.0% are bad (95 % interval 4.0% to 20.0%)``."""
    if learned.contamination is None or learned.interval is None:
        return "how many are bad cannot be told"
    low, high = learned.interval
    return f"about {learned.contamination:.1%} are bad (95 % interval {low:.1%} to {high:.1%})"
