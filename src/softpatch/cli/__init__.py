"""The ``softpatch`` command: one file per subcommand.

Heavy imports (torch, timm) wait until a subcommand runs, so that ``--help`` answers at once. The
frame itself is imported by ``main``, which is the first that can say that it was interrupted.
"""

from __future__ import annotations

import sys

from softpatch.runtime.errors import is_out_of_memory

INTERRUPTED = 130  # exit code, as that of a shell's command that Ctrl-C ends


def main() -> None:
    """Run the command; exit code 0, 1 (the work failed), 2 (bad use) or 130 (Ctrl-C)."""
    try:
        try:
            from softpatch.cli import app
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            sys.stderr.write("error: out of memory; the command itself finds no room\n")
            sys.exit(1)
        app.run()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(INTERRUPTED)


__all__ = ["INTERRUPTED", "main"]
