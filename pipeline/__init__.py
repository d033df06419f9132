"""Muniment: keep what a document cites, as evidence that still stands in thirty years.

The package reads like a book, top to bottom; reading order is import order. A module
imports only what stands above it, and a test parses this map, so it cannot lie.

    errors        what can go wrong, and the exit status of each
    clock         time, patience and identifiers, handed in and never taken
    model         the nouns, as frozen values
    fixity        digests, computed while the bytes stream past
    disk          the acts that make bytes and names durable, as one value
    config        muniment.toml, the environment, where things live
    sheet         one HTML file that needs nothing beside it
    chromium      Chromium, where there is one: pages of our own printed, pictured
    warc          WARC records: write, read, index

    intake/       YAML to Manifest
    capture/      Source to Capture
    packaging/    Capture to Bag
    sealing/      Bag to seal: who, when, over what
    holdings/     keeping: the archive folder
    handoff/      Bag to Receipt, and back

    plan          what a run will do, fixed before its first request (pure)
    schedule      which manifests are due, since when, and when next (pure)
    roster        the manifests that a person keeps in a folder, and how each stands
    timer         timers of the system that call ``tend`` (pure)
    notice        what a person asked to be told of, in words (pure)
    outbox        notices written down, then sent; what could not be sent stays
    outcome       what became of a run, as values, JSON and an exit status (pure)
    results       what a run came to, as a table for people (pure)
    sealbook      the archive's view of seals: logged, read back, judged with the bag
    notary        a run's plan stamped, its bags sealed
    resume        a run that was stopped, and the one that goes on with it
    identity      what a run says of itself: names, environment, warcinfo
    crew          sources visited on workers, one host one line
    keeper        what comes home, kept: described, packed, sealed, accessioned
    selftest      the tool tried on a known page, before each run
    job           a run: one manifest in, bags out
    inspection    bags inspected: each beside its lines in the log and its seals
    coherence     whether log, catalogue, records and receipts tell of one archive
    balance       what came of an audit, as values, JSON and an exit status
    audit         what is wrong with the holdings, whichever part says so
    repair        a damaged bag brought back from a copy that is proven
    doctor        what ails an archive, and the machine that it is on
    interruption  being told to stop: once, in good order; twice, at once
    outlet        standard output and error, written to
    loglines      what a command does, line by line, for programs
    terminal      what a person reads on a terminal
    gauge         how far a run has come, in numbers and in lines (pure)
    progress      how a run is told of while it goes on
    report        a page that tells what a verification found
    auditpage     a page that tells what an audit found
    newsroom      the built-in demo site on loopback
    timekeeper    a throw-away timestamping authority on loopback, for the demo
    demo          the main job on the newsroom, told step by step
    commands/     the commands, in families
    cli           the command line

Each chapter, a folder, has a map of its own in its ``__init__``.
"""

__version__ = "0.1.0"
