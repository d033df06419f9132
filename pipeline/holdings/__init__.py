"""Keeping: the archive folder, its log and its index.

    merkle        the Merkle tree of RFC 9162: heads and proofs (pure)
    note          signed notes and checkpoints, as C2SP has them (pure)
    custody       the append-only log of everything done
    room          where things stand in the archive folder, and moving them to last
    receipts      what other archives acknowledged: signed, kept beside the bags
    checks        fixity checks at rest: a line for each bag that was checked
    database      the catalogue's file: its tables, and what can be wrong with it
    description   what a bag says of itself, laid out in rows
    cards         what the catalogue answers with, and how it lies in rows (pure)
    catalogue     SQLite index, rebuildable from the bags
    lock          one writer at a time
    checkpoints   the log's key, and every head that it signed
    journal       what a run under way has done, for whoever goes on with it
    ledger        what is wrong with the log, beside its checkpoints and its bags
    survey        what the log says of each bag, gathered while it is examined
    recovery      what a run left half done, made whole
    store         stage, accession, find, recover
    verify        a bag with what the log has against it: validate, composed
    proof         what the log proves to a stranger: heads, inclusion, consistency

A module imports only what stands above it, here and in ``pipeline``.
"""
