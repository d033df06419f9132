"""Timers: what is printed, the system reads as it was meant."""

import re
import shlex
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.timer import FILES, Call, cron, systemd

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ODD = '/srv/it\'s 100% $HOME \\ "odd"'


def call(every: timedelta = 15 * MINUTE, *words: str, folder: str = "/srv") -> Call:
    words = words or ("/usr/bin/muniment", "tend", "/srv/manifests")
    return Call(words=words, folder=Path(folder), archive=Path("/srv/a"), every=every)


SPANS = {
    "five minutes": (5 * MINUTE, "*:0/5", "*/5 * * * *"),
    "a quarter": (15 * MINUTE, "*:0/15", "*/15 * * * *"),
    "an hour": (HOUR, "*-*-* 0/1:00:00", "0 */1 * * *"),
    "six hours": (6 * HOUR, "*-*-* 0/6:00:00", "0 */6 * * *"),
    "a day": (24 * HOUR, "daily", "0 0 * * *"),
}


@pytest.mark.parametrize(("every", "calendar", "when"), SPANS.values(), ids=SPANS)
def test_a_span_is_written_as_the_system_has_it(every, calendar, when):
    (_, _), (_, timer) = systemd(call(every))
    assert f"OnCalendar={calendar}\n" in timer
    assert f"\n{when} cd " in cron(call(every))


@pytest.mark.parametrize(
    "every",
    [timedelta(seconds=90), 7 * MINUTE, 5 * HOUR, timedelta(days=2), 0 * MINUTE],
)
def test_a_span_that_no_timer_keeps_is_refused(every):
    with pytest.raises(UsageError, match="choose 5m"):
        systemd(call(every))
    with pytest.raises(UsageError, match="choose 5m"):
        cron(call(every))


def test_a_name_that_no_line_holds_is_refused():
    with pytest.raises(UsageError, match="no timer can name this"):
        call(HOUR, "/usr/bin/muniment", "tend", "/srv/a\nb")


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1))
def test_cron_hands_every_word_to_the_shell_as_it_is(word):
    if not word.isprintable():
        return
    line = cron(call(HOUR, "/usr/bin/muniment", "tend", word)).splitlines()[-1]
    command = re.sub(r"\\%", "%", line.split(" ", 5)[5])  # crontab(5)
    assert "%" not in re.sub(r"\\%", "", line)
    assert shlex.split(command)[-1] == word


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
@pytest.mark.parametrize("odd", ["/srv/plain", ODD], ids=["plain", "odd"])
def test_systemd_finds_nothing_wrong_with_the_units(odd, tmp_path):
    for name, text in systemd(call(HOUR, "/bin/true", "tend", odd)):
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / one for one in FILES)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "muniment-tend" in line]
    assert ours == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd")
@pytest.mark.parametrize("calendar", [one[1] for one in SPANS.values()])
def test_systemd_knows_the_calendar(calendar):
    asked = ["systemd-analyze", "calendar", calendar]
    assert subprocess.run(asked, capture_output=True, check=False).returncode == 0


def checks_crontabs() -> bool:
    said = subprocess.run(
        ["crontab", "-h"], capture_output=True, text=True, check=False
    )
    return "-n" in said.stderr + said.stdout


@pytest.mark.skipif(
    not shutil.which("crontab") or not checks_crontabs(),
    reason="there is no cron that checks a table",
)
def test_cron_reads_the_line(tmp_path):
    table = tmp_path / "table"
    table.write_text(cron(call(HOUR, "/usr/bin/muniment", "tend", ODD)))
    done = subprocess.run(["crontab", "-n", table], capture_output=True, check=False)
    assert done.returncode == 0
