"""Count the responses of WARC files and the bytes of their payloads, with warcio.

python tally.py FILE...
"""

import sys
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator

PIECE = 1 << 20


def main(*names: str) -> None:
    """Print two numbers: response records, and payload bytes."""
    responses = payload = 0
    for name in names:
        with Path(name).open("rb") as file:
            for record in ArchiveIterator(file):
                if record.rec_type == "response":
                    responses += 1
                    stream = record.content_stream()
                    while piece := stream.read(PIECE):
                        payload += len(piece)
    print(responses, payload)


if __name__ == "__main__":
    main(*sys.argv[1:])
