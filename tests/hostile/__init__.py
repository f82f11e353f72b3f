"""Attacks on a real service, in short; `bench/attacks.py` does them at length."""
