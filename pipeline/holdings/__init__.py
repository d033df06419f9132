"""Keeping: the archive folder, its log and its index.

    custody       the append-only log of everything done
    compare       what changed since the last capture (pure)
    catalogue     SQLite index, rebuildable from the bags
    store         stage, accession, find, recover

A module imports only what stands above it, here and in ``pipeline``.
"""
