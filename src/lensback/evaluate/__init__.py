"""Honest evaluation: runs, splits that cannot leak, the promise of "exact"."""
