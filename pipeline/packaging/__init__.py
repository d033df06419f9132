"""Capture to Bag: describe what was kept, pack it, and say what is wrong with a bag.

    rendering     values told as files: JSON, CSV, plain text (pure)
    account       a bag's subject, files, acts and agents, told once for all (pure)
    formats       what the files of a bag are, by our own rule (pure)
    story         capture.json, and the plain records beside it (pure)
    premis        PREMIS 3.0 of an account (pure)
    prov          PROV-JSON of an account (pure)
    tables        metadata.csv, rights.csv, identifiers.json for Archivematica (pure)
    label         bag-info.txt: what stands on the outside of a bag (pure)
    readme        README.txt: how a stranger checks and replays a bag (pure)
    attachment    files that somebody supplied, told as that (pure)
    provenance    a capture told for people, archives and courts: data/metadata (pure)
    names         what file names mean to other systems: unsafe, unportable, twins (pure)
    rules         the rules a bag is judged by: finding codes, clauses, weights
    encoding      the text of tag files: trusted encodings, bytes to lines (pure)
    tagfiles      bagit.txt, bag-info.txt, manifests, fetch.txt: bytes to values (pure)
    walk          a stranger's folder, looked at without trusting it
    hashing       digests of many files: one read, every core at work
    companion     a second process that takes every other block of small files
    tree          where the files of a bag stand: a folder, or what reads like one
    copying       a folder copied into a payload, hashed in the same read
    bag           BagIt bags: make and read
    contents      what a bag holds beside what it lists, in rows for millions
    listing       manifests and fetch.txt read into columns
    completeness  absent, unlisted, twice named: listing beside contents (pure)
    agreement     the digests a bag lists beside those of its files
    references    what our own descriptions of a bag lead to, or do not
    gzipmembers   gzip members one by one, as strictly as we write them
    expected      which records a WARC must hold: index.cdxj and capture.json (pure)
    warcrecord    one WARC record, read strictly out of its gzip member
    warccheck     what is wrong with a WARC of ours, and with what tells of it
    profile       BagIt profiles: what bags have been agreed to be
    conformity    a bag beside its profile: what it lacks, and has too much (pure)
    validate      what is wrong with a bag: a list of findings
    peers         readers that others wrote, each asked in a process of its own
    opinion       what they say of a bag beside what we say, each difference explained
    members       what an archive file may hold, and what rejects it whole (pure)
    tarball       tar, written in one way
    tarreader     tar, read with no way to misunderstand it
    zipball       zip, written in one way
    zipreader     zip, read with no way to misunderstand it
    parcel        a bag in one file, or a stranger's folder: judged, then read
    serial        bags as tar, tar.gz and zip: written, validated without unpacking

A module imports only what stands above it, here and in ``pipeline``.
"""
