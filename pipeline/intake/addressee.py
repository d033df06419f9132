"""Whom to tell: mail without a password, or a reference to any other address (pure).

The addresses of notifications are keys as a rule: a token stands in the path, where
nothing tells it from a word. A manifest goes into every run bag, so that all but plain
mail is written as ``env:NAME`` or ``file:PATH``.
"""

import re

from pipeline.intake.secrecy import is_reference
from pipeline.intake.terms import Unfit, line, shown

# RFC 6068's form and apprise's: a user and a host, and nothing that could be a secret
MAIL = r"mailto:(//)?[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,253}"
FORM = rf"{MAIL}|env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*"


def addressee(text: str) -> str:
    """Take whom to tell."""
    if is_reference(line(text)):
        return text
    if text.startswith(("env:", "file:")):
        raise Unfit(f"{shown(text)} is not a reference", "like env:NAME or file:PATH")
    if re.fullmatch(MAIL, text):
        return text
    raise Unfit(
        "an address that people are told at is often a key, and is not written out",
        "write env:NAME or file:PATH; mailto:me@example.org may stand",
    )
