"""Bag to Receipt, and back: what leaves the archive, and what comes in.

    export        a bag as one file, verified before it is told of
    receive       a stranger's bag: judged, unpacked, accession or quarantine

A module imports only what stands above it, here and in ``pipeline``.
"""
