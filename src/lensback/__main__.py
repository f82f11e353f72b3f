"""`lensback`, and `python -m lensback`."""

from __future__ import annotations

import sys


def main() -> None:
    """The command line. Ctrl-C while it is still being loaded ends it with a word, too."""
    try:
        from lensback.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
