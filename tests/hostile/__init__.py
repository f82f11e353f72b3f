"""Attacks on a real service, in short; `bench/hostile.py` does them at length."""
