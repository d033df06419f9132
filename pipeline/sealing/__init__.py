"""Bag to seal: who, when, over what.

    der           DER, as much of it as signatures need (pure)
    keys          signing identities: made, read, told by fingerprint
    skew          how far the clocks of servers stood from ours (pure)
    sntp          how far time servers stood from our clock, where one is asked
    statement     what a seal says: in-toto Statement v1 in clear bytes (pure)
    signature     detached CMS over bytes: made, and verified strictly (pure)
    token         RFC 3161 queries and tokens: what time is proven, and by whom (pure)
    authority     timestamping authorities asked over the guarded door
    shelf         the seal files of a bag: read without trust, added durably
    migration     one more list of digests, in a younger algorithm
    expiry        which certificates end within a year, and what to do before
    worth         what a bag's seals are worth: demands, findings, times (pure)
    bracket       a plan that was stamped before its first request, judged
    assurance     the seals of a bag judged: findings, signers, times and their basis
    seal          a bag sealed, a pending seal completed, an old one renewed

A module imports only what stands above it, here and in ``pipeline``.
"""
