"""Lensback finds the thing in a person's photo among the offers of many stores."""

__version__ = "0.1.0"
