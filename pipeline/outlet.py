"""Standard output and standard error, written to.

A reader who went away has heard enough: the work goes on, and no traceback ends it. A
disk that is full is told.
"""

import os
from typing import TextIO

from pipeline.errors import StorageError


def put(stream: TextIO, text: str = "", name: str = "standard output") -> None:
    """Write, or hand over what was written. Raises StorageError."""
    try:
        if text:
            stream.write(text)
        else:
            stream.flush()
    except OSError as error:
        _silence(stream)
        if not isinstance(error, BrokenPipeError):
            raise StorageError.at(name, error) from error


def _silence(stream: TextIO) -> None:
    """Lead a stream nowhere, so that the work goes on and Python ends in peace."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
