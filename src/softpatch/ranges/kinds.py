"""Kinds of ranges: numbers, sizes, names, texts; each says what it takes, and refuses the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Integral
from os import PathLike, fspath
from typing import Any

from softpatch.runtime.ranges import Range, Whole, is_number, is_whole

NUMERAL = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan|inf)", re.IGNORECASE)
UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class Number(Range):
    """Numbers from ``low`` to ``high``; never NaN.

    Attributes:
        low, high: the ends, both finite.
        above, below: whether the ends themselves are left out.
        also: what is taken beside numbers, such as ``auto``; None leaves it open.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False
    also: tuple[str | None, ...] = ()

    @property
    def words(self) -> str:
        """As in ``Range``."""
        low, high = f"{self.low:g}", f"{self.high:g}"
        numbers = f"{low} to {high}"
        if self.above or self.below:
            first = f"above {low}" if self.above else f"at least {low}"
            numbers = f"{first}, {'below' if self.below else 'at most'} {high}"
        return ", or ".join([numbers, *filter(None, self.also)])

    def taken(self, value: Any) -> float | str | None:
        """As in ``Range``; numpy's numbers are, too."""
        if (value is None or isinstance(value, str)) and value in self.also:
            return value
        number: Any = value if is_number(value) else None
        if hasattr(number, "item"):  # numpy's of few bits cannot be compared with large ends
            number = number.item()
        if number is not None and (
            self.low < number < self.high  # which NaN is not
            or (number == self.low and not self.above)
            or (number == self.high and not self.below)
        ):
            return int(number) if isinstance(number, Integral) else float(number)
        interval = f"{'[('[self.above]}{self.low:g}, {self.high:g}{'])'[self.below]}"
        raise ValueError(" or be ".join([f"must lie in {interval}", *filter(None, self.also)]))

    def read(self, text: str) -> float | str:
        """As in ``Range``."""
        return float(text) if NUMERAL.fullmatch(text) else text


@dataclass(frozen=True)
class Bytes(Whole):
    """Numbers of bytes, which a command line has as ``4GB``."""

    words = "a size such as 500MB or 4GB"
    metavar = "SIZE"

    def read(self, text: str) -> int | str:
        """As in ``Range``; a size that is out of range means nothing."""
        number, unit = text[:-2].strip(), text[-2:].upper()
        if unit not in UNITS or NUMERAL.fullmatch(number) is None:
            return text
        size = float(number) * UNITS[unit]
        return int(size) if self.low <= size <= self.high else text

    def taken(self, value: Any) -> int | None:
        """As in ``Range``."""
        if isinstance(value, str):
            raise ValueError(f"must be {self.words}")
        return super().taken(value)


@dataclass(frozen=True)
class Size(Range):
    """Pixels a side, one number or (height, width), which a command line has as 224x448."""

    low: int
    high: int
    metavar = "PIXELS"

    @property
    def words(self) -> str:
        """As in ``Range``."""
        return f"{self.low} to {self.high:,} pixels a side: 256, or HEIGHTxWIDTH"

    def taken(self, value: Any) -> tuple[int, int] | None:
        """As in ``Range``; None, too, which leaves it open."""
        if value is None:
            return None
        sides = tuple(value) if isinstance(value, tuple | list) else (value, value)
        if len(sides) != 2 or not all(map(self._is_side, sides)):
            raise ValueError(f"must be {self.words}")
        return int(sides[0]), int(sides[1])

    def read(self, text: str) -> Any:
        """As in ``Range``."""
        sides = [Whole(self.low, self.high).read(side) for side in text.lower().split("x")]
        if not all(isinstance(side, int) for side in sides):
            return text
        return tuple(sides) if len(sides) > 1 else sides[0]

    def _is_side(self, value: Any) -> bool:
        return is_whole(value) and self.low <= int(value) <= self.high


def sides(size: tuple[int, int]) -> str:
    """A size as a command line has it."""
    return f"{size[0]}x{size[1]}"


@dataclass(frozen=True)
class Ends(Range):
    """(lowest, highest) of some values, which a command line has as 0:4095; or None."""

    low: int
    high: int
    metavar = "LOW:HIGH"

    @property
    def words(self) -> str:
        """As in ``Range``."""
        return f"LOW:HIGH within {self.low}:{self.high}, such as 0:4095"

    def taken(self, value: Any) -> tuple[int, int] | None:
        """As in ``Range``."""
        if value is None:
            return None
        ends = tuple(value) if isinstance(value, tuple | list) else ()
        whole = len(ends) == 2 and all(map(is_whole, ends))
        if not whole or not self.low <= ends[0] < ends[1] <= self.high:
            raise ValueError(f"must be {self.words}")
        return int(ends[0]), int(ends[1])

    def read(self, text: str) -> Any:
        """As in ``Range``."""
        ends = [Whole(self.low, self.high).read(end) for end in text.split(":")]
        return tuple(ends) if all(isinstance(end, int) for end in ends) else text


@dataclass(frozen=True)
class OneOf(Range):
    """One of a few names; None, too, if ``or_none``."""

    names: tuple[str, ...]
    or_none: bool = False
    metavar = "NAME"

    @property
    def words(self) -> str:
        """As in ``Range``."""
        return f"{', '.join(self.names[:-1])} or {self.names[-1]}"

    def taken(self, value: Any) -> str | None:
        """As in ``Range``."""
        if (value is None and self.or_none) or (isinstance(value, str) and value in self.names):
            return value
        raise ValueError(f"must be {self.words}")


@dataclass(frozen=True)
class Device(Range):
    """Where torch computes."""

    words = "auto, cpu, cuda or cuda:NUMBER"
    metavar = "DEVICE"

    def taken(self, value: Any) -> str:
        """As in ``Range``."""
        if isinstance(value, str) and re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,2})?", value):
            return value
        raise ValueError(f"must be {self.words}")


@dataclass(frozen=True)
class Flag(Range):
    """Yes or no; None, too, if ``or_none``."""

    or_none: bool = False
    words = "True or False"

    def taken(self, value: Any) -> bool | None:
        """As in ``Range``; numpy's are, too."""
        if value is None and self.or_none:
            return None
        of_numpy = str(getattr(value, "dtype", "")) == "bool" and value.shape == ()
        if not isinstance(value, bool) and not of_numpy:
            raise ValueError(f"must be {self.words}")
        return bool(value)


@dataclass(frozen=True)
class Text(Range):
    """A name, of which only who knows the names can say whether it is one; or a path."""

    path: bool = False
    or_none: bool = False
    metavar = "TEXT"

    @property
    def words(self) -> str:
        """As in ``Range``."""
        return "a path" if self.path else "a name"

    def taken(self, value: Any) -> str | None:
        """As in ``Range``."""
        if value is None and self.or_none:
            return None
        if self.path and isinstance(value, PathLike):
            value = fspath(value)
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError(f"must be {self.words}")
        return value


@dataclass(frozen=True)
class Several(Range):
    """Some of what another range takes, which a command line has with commas; or None."""

    each: Range
    metavar = "LIST"

    @property
    def words(self) -> str:
        """As in ``Range``."""
        return f"{self.each.words}; several with commas"

    def taken(self, value: Any) -> tuple[Any, ...] | None:
        """As in ``Range``."""
        if value is None:
            return None
        if not isinstance(value, tuple | list) or not value:
            raise ValueError(f"must be a list, each {self.each.words}")
        return tuple(map(self.each.taken, value))

    def read(self, text: str) -> tuple[Any, ...]:
        """As in ``Range``."""
        return tuple(self.each.read(part.strip()) for part in text.split(","))
