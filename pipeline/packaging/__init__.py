"""Capture to Bag: describe what was kept, pack it, and say what is wrong with a bag.

    provenance    a capture told as capture.json, PREMIS, PROV and CSV (pure)
    bag           BagIt bags: make and read
    validate      what is wrong with a bag: a list of findings

A module imports only what stands above it, here and in ``pipeline``.
"""
