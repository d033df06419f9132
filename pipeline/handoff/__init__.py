"""Bag to Receipt, and back: what leaves the archive, and what comes in.

    receive       a stranger's bag: judged, unpacked, accession or quarantine

A module imports only what stands above it, here and in ``pipeline``.
"""
