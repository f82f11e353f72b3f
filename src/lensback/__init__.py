"""Lensback finds the thing in a person's photo among the offers of many stores."""

from lensback.quiet import quiet

__version__ = "0.1.0"

quiet()  # the one thing that happens at import: no library that phones home is loaded before it
