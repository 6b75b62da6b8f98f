"""What an option takes, and the one line that refuses anything else."""

from __future__ import annotations

import re
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, ClassVar

from .errors import UsageError

NUMERAL = re.compile(r"[+-]?[0-9]{1,400}")  # longer ones Python does not read


def is_whole(value: Any) -> bool:
    """Whether it is a whole number; numpy's are, True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a number, True and False apart."""
    return isinstance(value, Real) and not isinstance(value, bool)


class Range(ABC):
    """What one option takes; ``metavar`` stands for it in a command's help."""

    metavar: ClassVar[str] = "NUMBER"

    @property
    @abstractmethod
    def words(self) -> str:
        """Such as ``1 to 1,000``; for help and docs."""

    @abstractmethod
    def taken(self, value: Any) -> Any:
        """The value, of Python's own types; ValueError with the words that refuse it."""

    def read(self, text: str) -> Any:
        """What a command line's text means; if nothing, the text, which is then refused."""
        return text

    def check(self, name: str, value: Any) -> Any:
        """The value of the option of that name, of Python's own types.

        Raises:
            UsageError: it is not taken.
        """
        return self._check(name, value, reprlib.repr(value))

    def check_text(self, name: str, text: str) -> Any:
        """What a command line has for it, likewise; an error shows the text as it was typed."""
        value = self.read(text)
        shown = reprlib.repr(text)
        return self._check(name, value, shown[1:-1] if is_number(value) else shown)

    def _check(self, name: str, value: Any, shown: str) -> Any:
        try:
            return self.taken(value)
        except ValueError as error:
            raise UsageError(f"{name} {error}, got {' '.join(shown.split())}") from None


@dataclass(frozen=True)
class Whole(Range):
    """Whole numbers from ``low`` to ``high``; and None if ``or_none``, which leaves it open."""

    low: int
    high: int
    or_none: bool = False

    @property
    def words(self) -> str:
        """As in ``Range``."""
        return f"{self.low:,} to {self.high:,}"

    def taken(self, value: Any) -> int | None:
        """As in ``Range``; numpy's numbers are, too."""
        if value is None and self.or_none:
            return None
        if not is_whole(value):
            raise ValueError("must be a whole number")
        number = int(value)
        if number < self.low:
            raise ValueError(f"must be at least {self.low:,}")
        if number > self.high:
            raise ValueError(f"must be at most {self.high:,}")
        return number

    def read(self, text: str) -> int | str:
        """As in ``Range``."""
        return int(text) if NUMERAL.fullmatch(text) else text


RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "max_pixels": Whole(1, 10**12, or_none=True),
        # More threads take minutes to start, or are no number to ONNX Runtime.
        "threads": Whole(1, 1024, or_none=True),
    }
)
