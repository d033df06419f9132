"""What a browser asks of its own accord, and no page asked for. Pure.

Updates, lists of dangerous sites, models, the state of an account: it would stand in
the WARC as if the source had needed it. It is answered by the proxy, and not recorded.
"""

import re

# Hosts that no page needs, and addresses of such as pages may need.
HOSTS = frozenset(
    (
        "clients1.google.com",
        "clients2.google.com",
        "clients3.google.com",
        "clients4.google.com",
        "clientservices.googleapis.com",
        "update.googleapis.com",
        "safebrowsing.googleapis.com",
        "optimizationguide-pa.googleapis.com",
        "content-autofill.googleapis.com",
        "chromewebstore.googleapis.com",
        "edgedl.me.gvt1.com",
        "redirector.gvt1.com",
        "mtalk.google.com",
        "android.clients.google.com",
        "passwordsleakcheck-pa.googleapis.com",
        "componentupdater.googleapis.com",
        "chrome.cloudflare-dns.com",
    )
)
ADDRESSES = re.compile(
    r"https?://(?:"
    r"accounts\.google\.com/ListAccounts"
    r"|www\.google\.com/(?:async/newtab|complete/search\?client=chrome|gen_204\?chrome)"
    r"|www\.gstatic\.com/(?:generate_204|chrome/)"
    r"|www\.googleapis\.com/(?:chromewebstore|chrome)/"
    r"|dl\.google\.com/(?:release2|chromewebstore)/"
    r"|[^/]*\.gvt1\.com/edgedl/"
    r")"
)


def is_own(url: str, host: str) -> bool:
    """Tell whether a browser asks this for itself."""
    return host in HOSTS or ADDRESSES.match(url) is not None
