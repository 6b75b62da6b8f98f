"""Every error a user can meet, in one tree.

::

    SoftPatchError
    ├── UsageError (also a ValueError)   a wrong argument; the CLI exits with 2
    ├── ImageError                       an image that cannot be used
    │   └── UnusableImageError           one that shows nothing: black, blown out, blurred or cut
    ├── DatasetError                     a folder that is not laid out as expected
    ├── BackboneError                    backbone or weights that cannot be had
    ├── ModelFileError                   a model file that is cut, damaged, foreign or newer
    ├── BusyError                        what another process is changing
    ├── OutOfMemoryError (a MemoryError)  what is to be done takes more memory than there is
    ├── ExportError                      an exported file that differs from its model
    ├── NotFittedError                   predict or save before fit
    ├── ScratchError                     no room for temporary files
    ├── ClusterError                     a Ray cluster that cannot be reached or has failed
    └── MissingExtraError                an optional dependency that is not installed

Each message is one line, names the thing at fault and says what to do.
"""

from softpatch.runtime.errors import DatasetError as DatasetError
from softpatch.runtime.errors import ImageError as ImageError
from softpatch.runtime.errors import ModelFileError as ModelFileError
from softpatch.runtime.errors import OutOfMemoryError as OutOfMemoryError
from softpatch.runtime.errors import SoftPatchError as SoftPatchError
from softpatch.runtime.errors import UnusableImageError as UnusableImageError
from softpatch.runtime.errors import UsageError as UsageError
from softpatch.runtime.errors import is_out_of_memory as is_out_of_memory
from softpatch.runtime.errors import memory_asked as memory_asked
from softpatch.runtime.errors import memory_needed as memory_needed
from softpatch.runtime.errors import reason_of as reason_of


class BackboneError(SoftPatchError):
    """A backbone or its weights cannot be had."""


class BusyError(SoftPatchError):
    """Another process is changing the file or folder."""


class ExportError(SoftPatchError):
    """An exported file differs from its model."""


class NotFittedError(SoftPatchError):
    """The detector has to be fitted first."""


class ScratchError(SoftPatchError):
    """No room for the temporary files of a fit that does not fit in memory."""


class ClusterError(SoftPatchError):
    """A Ray cluster cannot be reached or has failed."""


class MissingExtraError(SoftPatchError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs an extra: pip install 'softpatch[{extra}]'")
        self.extra = extra
