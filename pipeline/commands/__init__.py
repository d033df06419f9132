"""The commands, in families: each parses, calls one function, prints.

    session       what every command is told, and how one is made
    evidence      seal, keys: who vouches for a bag, and since when
    handing       deposit, receipts, attach: copies with others, things from others
    manifests     check, schema, plan
    lists         import: others' lists as manifests; results handed back
    running       run: what is named, or what is due; whoever asked is told
    finding       get, history, search, diff: what is held of an address, a source, words
    holdings      list, show, catalogue
    bags          verify, export, receive, bag: bags in folders and in files
    beginnings    demo, init, config
    upkeep        audit: what is wrong with an archive, and mending it
    schedules     due, schedule, tend: what comes round, and an archive left alone
    custody       log verify, checkpoint, prove, consistency

A module imports only what stands above it, here and in ``pipeline``. What only some
commands need is imported by them, so that help and a bad manifest answer at once.
"""
