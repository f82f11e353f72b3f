"""`python -m lensback`."""

from lensback.cli import main

main()
