"""The ``softpatch`` command: one file per subcommand.

Heavy imports (torch, timm) wait until a subcommand runs, so that ``--help`` answers at once. The
frame itself is imported by ``main``, which is the first that can say that it was interrupted.
"""

from __future__ import annotations

import sys

INTERRUPTED = 130  # exit code, as that of a shell's command that Ctrl-C ends


def main() -> None:
    """Run the command; exit code 0, 1 (the work failed), 2 (bad use) or 130 (Ctrl-C)."""
    try:
        from softpatch.cli.app import run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(INTERRUPTED)


__all__ = ["INTERRUPTED", "main"]
