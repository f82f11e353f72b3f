"""The catalogue: all stores, feeds, offers, images and products, and the to-do queries over them.

Functions take a `Database` (one transaction of their own) or a `Connection` (part of the
caller's). `stores` and `offers` are written by ingest, `pictures` by download and embed,
`products` by group; everybody reads.
"""
