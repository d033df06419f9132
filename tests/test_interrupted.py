"""A deposit killed in its middle: what goes up twice, and how much memory it takes.

``bench/deposits.py`` does the same with a bag of 2 GB, and tells what is wanted.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench" / "deposits.py"
SIZE = 24_000_000  # five parts of S3, hundreds of blocks of SFTP


@pytest.mark.parametrize(
    ("kind", "needs", "part"),
    [("s3", ("boto3", "moto"), 0.7), ("sftp", ("paramiko",), 0.6)],
)
def test_what_was_confirmed_is_not_sent_twice_and_memory_stays_flat(kind, needs, part):
    for module in needs:
        pytest.importorskip(module, reason="pip install 'muniment[test]'")
    if kind == "sftp":
        __import__("ssh").program()  # or skips
    done = subprocess.run(
        [sys.executable, BENCH, "--size", str(SIZE), "--part", str(part), kind],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    found = json.loads(done.stdout.splitlines()[1])
    assert found["killed_by"] == -9
    assert found["killed_at"] >= SIZE * part
    assert SIZE < found["up"] < SIZE * 1.02
