"""Capture to Bag: describe what was kept, pack it, and say what is wrong with a bag.

    provenance    a capture told as capture.json, PREMIS, PROV and CSV (pure)
    names         what file names mean to other systems: unsafe, unportable, twins (pure)
    rules         the rules a bag is judged by: finding codes, clauses, weights
    tagfiles      bagit.txt, bag-info.txt, manifests, fetch.txt: bytes to values (pure)
    walk          a stranger's folder, looked at without trusting it
    bag           BagIt bags: make and read
    validate      what is wrong with a bag: a list of findings

A module imports only what stands above it, here and in ``pipeline``.
"""
