"""Source to Capture: visit what is cited and keep what came over the wire.

    address       which network addresses may be contacted, and which never (pure)
    wire          one HTTP exchange, kept byte for byte (no sockets: bytes in)
    net           the only door to the network: connect, record, pace, retry
    content       bounded decoding, character sets, the text of a page
    requisites    HTML and CSS to the URLs a page needs (pure)
    assess        what a capture is worth: verdict, reasons, quotes (pure)
    http          the HTTP engine: redirects hop by hop, requisites, alternates
    visit         one source: robots, engine, quotes, verdict

A module imports only what stands above it, here and in ``pipeline``.
"""
