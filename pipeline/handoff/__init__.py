"""Bag to Receipt, and back: what leaves the archive, and what comes in.

    export        a bag handed out, verified before it is told of: as one file
    kit           a bag with all that a stranger needs to check it
    declaration   the paper of a certificate: what is known, and blanks for a person
    certificate   a bag's records drafted for a court
    unpacking     a parcel unpacked: beneath one folder, judged by what came
    attach        files that somebody supplied for a source: a bag, and no capture
    receive       a stranger's bag: judged, unpacked, accession or quarantine
    consignment   what is sent: bags as items, readable from any byte on
    labels        what a bag says of itself to others: Dublin Core, who may see it
    saf           DSpace's Simple Archive Format, laid out as one zip (pure)
    target        what every target of a deposit promises, and how one fails
    call          calls over HTTP to another archive, failures told
    wrapping      patience, a pace and a second look, around any place
    copies        a target made of a place: copies that can be had back
    targets/      where deposits go: a family, none knowing of another
    destination   from a manifest's words to a target: secrets looked up, and masked
    deposit       bags handed to targets, each with a receipt or a reason
    courier       who hands a run over when it is done: what is due, announced, delivered

A module imports only what stands above it, here and in ``pipeline``.
"""
