"""Every error a user can meet; each message is one line that names the thing at fault."""


class RuntimeFault(Exception):
    """Base of every error raised on purpose by this package."""


class UsageError(RuntimeFault, ValueError):
    """A wrong argument; the command exits with 2."""


class ModelFileError(RuntimeFault):
    """A file that is no exported model, or that nothing installed here can run."""


class ImageError(RuntimeFault):
    """A picture that cannot be used.

    Attributes:
        name: the file's path, or ``image 3`` for the third array of a list.
        reason: what is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason
