"""Muniment's capture alone: one visit into one WARC; no bag, no archive, no log.

python fetch_only.py URL HOST1:PORT1:HOST2:PORT2 FOLDER
"""

import sys
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

from pipeline.capture.address import Policy, parse_connect_to
from pipeline.capture.net import Network
from pipeline.capture.robots import Robots
from pipeline.capture.tls import tls_context
from pipeline.capture.visit import Task, visit
from pipeline.clock import SystemClock
from pipeline.model import Source

NOTHING = timedelta(0)


def main(url: str, connect_to: str, folder: str) -> None:
    """Visit the address without a pause, and print what came of it."""
    source = Source(
        id="page",
        url=url,
        delay=NOTHING,
        requisite_delay=NOTHING,
        max_requisites=5_000,
    )
    policy = Policy(
        allow=(ip_network("127.0.0.0/8"),), connect_to=(parse_connect_to(connect_to),)
    )
    network = Network(clock=SystemClock(), policy=policy, tls=tls_context())
    task = Task(source=source, folder=Path(folder), about=(("software", "bench"),))
    try:
        capture = visit(task, network=network, robots=Robots()).capture
    finally:
        network.close()
    print(capture.verdict, capture.requisites.wanted, capture.requisites.kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
