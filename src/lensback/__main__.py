"""`lensback`, and `python -m lensback`."""

from __future__ import annotations

import gc
import sys

BETWEEN_COLLECTIONS = 20_000
"""Objects made until Python looks for circles of dead ones: what a start loads has none, and to look every 700
took a tenth of it."""


def main() -> None:
    """The command line. Ctrl-C while it is still being loaded ends it with a word, too."""
    gc.set_threshold(BETWEEN_COLLECTIONS)
    try:
        try:
            from lensback.cli import main as run
        except KeyboardInterrupt:
            sys.stderr.write("stopped\n")
            sys.exit(130)
        run()
    finally:
        # The interpreter looks once more at all that is left before it ends: a fifth of a short command.
        gc.freeze()


if __name__ == "__main__":
    main()
