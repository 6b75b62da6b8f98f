"""The ``softpatch`` command: one file per subcommand.

Heavy imports (torch, timm) wait until a subcommand runs, so that ``--help`` answers at once.
"""

import sys

from softpatch.runtime.errors import is_out_of_memory

__all__ = ["main"]


def main() -> None:
    """Run the command; exit code 0, 1 (the work failed) or 2 (bad use)."""
    try:
        from softpatch.cli import app
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        sys.stderr.write("error: out of memory; the command itself finds no room\n")
        sys.exit(1)
    app.main()
