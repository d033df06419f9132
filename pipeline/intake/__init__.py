"""YAML to Manifest: every problem at once, each with its line and column.

    notation      strict YAML: bytes to nodes that know their line and column
    secrecy       what looks like a secret, and how it is masked
    terms         durations, sizes, ids, addresses: one text to one value (pure)
    timing        when to run again: cron expressions, time zones (pure)
    addressee     whom to tell: addresses without secrets, references to others (pure)
    problem       what is wrong in a manifest, told so that a person can mend it
    shape         the kinds a field can have: each reads a node, and writes its schema
    handover      what each kind of deposit needs to be told, and what means nothing to it (pure)
    contract      every field of a manifest, and what is not built yet
    manifest      nodes to Manifest; what only the whole can tell
    lists         others' lists of sources: seeds, CSV, browsertrix's YAML (pure)
    draft         a manifest written from a list, so that check accepts it (pure)

A module imports only what stands above it, here and in ``pipeline``.
"""
