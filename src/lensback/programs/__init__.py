"""Programs of stores: what a shopper is told of one before the click, and how one is brought in from
its network.

`facts.py` terms -> the facts in the shopper's words, `shape.py` their JSON · `importing.py` a network's answer -> terms ·
`changes.py` what changed since the last time · `written.py` terms -> TOML.
"""
