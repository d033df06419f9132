"""Source to Capture: visit what is cited and keep what came over the wire.

    address       which network addresses may be contacted, and which never (pure)
    wire          one HTTP exchange, kept byte for byte (no sockets: bytes in)
    tls           the handshake: whom a run trusts, what a server sent
    order         what is asked of the network and what comes back, as values (pure)
    line          one connection to one host: connect, ask, record
    datagram      one question in a datagram, and what answers it
    net           the only door to the network: whose turn, over which connection
    coding        content codings taken off, bounded (pure)
    markup        HTML to a tree, whatever the HTML (pure)
    content       media types, character sets, the text of a page (pure)
    requisites    HTML and CSS to the URLs a page needs (pure)
    quotes        whether cited words stand in a text (pure)
    walls         what stands between a visitor and the page (pure)
    assess        what a capture is worth: verdict and reasons (pure)
    compare       what changed since the last capture (pure)
    difference    which words came and which went (pure)
    connections   what is told of a connection: names, certificates (pure)
    records       exchanges to WARC records, in the order they happened
    client        requests in a row: cookies, redirects hop by hop, retries
    asking        what a browser asks of a proxy, read strictly (pure)
    chatter       what a browser asks of its own accord, and no page (pure)
    authority     a throw-away certificate authority, for one visit
    gate          the door on loopback by which a browser of ours comes in
    relay         bytes both ways between two connections, counted
    proxy         what a browser asks, asked for it, and kept as it comes
    shelf         what WARCs hold, found by what is asked
    playback      the proxy's door with a WARC behind it, and no network
    robots        what robots.txt says, asked once per host and run
    http          the HTTP engine: a document, what it needs, alternates
    visit         one source: robots, engine, quotes, verdict

A module imports only what stands above it, here and in ``pipeline``.
"""
