"""What warcio's own recorder does with a list of addresses: one session, kept alive.

python warcio_fetch.py LIST OUT.warc.gz
"""

import sys
from pathlib import Path

from warcio.capture_http import capture_http

import requests  # isort: skip - capture_http must patch http.client first

PIECE = 1 << 16


def main(listed: str, out: str) -> None:
    """Fetch every address of the list into one WARC file."""
    addresses = Path(listed).read_text(encoding="utf-8").split()
    with capture_http(out, warc_version="1.1"), requests.Session() as session:
        session.trust_env = False
        for address in addresses:
            with session.get(address, stream=True) as response:
                for _ in response.iter_content(PIECE):
                    pass


if __name__ == "__main__":
    main(*sys.argv[1:])
