"""Told to stop: once, in good order; twice, at once."""

import signal
from collections.abc import Iterator

import pytest

from pipeline.interruption import FIRST, SIGNALS, Interruption, treat_alike


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in SIGNALS}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_for_an_end_and_says_so(number: signal.Signals) -> None:
    told, ended = [], []
    interruption = Interruption(told.append)
    interruption.ends(lambda: ended.append(True))
    signal.signal(number, signal.SIG_DFL)
    with interruption.listening():
        signal.raise_signal(number)
    assert interruption.is_asked
    assert (told, ended) == ([FIRST], [True])


def test_the_second_signal_ends_at_once() -> None:
    interruption = Interruption(lambda _: None)
    with interruption.listening():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)


def test_an_end_that_was_asked_for_before_is_made_at_once() -> None:
    ended: list[bool] = []
    interruption = Interruption(lambda _: None)
    with interruption.listening():
        signal.raise_signal(signal.SIGINT)
        interruption.ends(lambda: ended.append(True))
    assert ended == [True]


def test_what_was_chosen_to_be_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interruption = Interruption(lambda _: None)
    with interruption.listening():
        signal.raise_signal(signal.SIGHUP)
    assert not interruption.is_asked


def test_afterwards_signals_do_what_they_did() -> None:
    before = [signal.getsignal(one) for one in SIGNALS]
    with Interruption(lambda _: None).listening():
        pass
    assert [signal.getsignal(one) for one in SIGNALS] == before


def test_every_signal_that_ends_a_program_ends_it_with_a_sentence() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    treat_alike()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
