"""Muniment: keep what a document cites, as evidence that still stands in thirty years.

The package reads like a book, top to bottom; reading order is import order. A module
imports only what stands above it, and a test parses this map, so it cannot lie.

    errors        what can go wrong, and the exit status of each
    clock         time, patience and identifiers, handed in and never taken
    model         the nouns, as frozen dataclasses
    fixity        digests, computed while the bytes stream past
    config        muniment.toml, the environment, where things live
    notation      strict YAML: bytes to nodes that know their line and column
    secrecy       what looks like a secret, and how it is masked
    terms         durations, sizes, ids, addresses: one text to one value (pure)
    problem       what is wrong in a manifest, told so that a person can mend it
    shape         the kinds a field can have: each reads a node, and writes its schema
    contract      every field of a manifest, and what is not built yet
    manifest      YAML to Manifest; every complaint has a line and a column
    warc          WARC records: write, read, index

    capture/      Source to Capture
    packaging/    Capture to Bag
    holdings/     keeping: the archive folder

    job           a run: one manifest in, bags out
    newsroom      the built-in demo site on loopback
    demo          the main job on the newsroom, told step by step
    cli           the command line

Each chapter, a folder, has a map of its own in its ``__init__``.
"""

__version__ = "0.1.0"
