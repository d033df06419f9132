"""Timers of the system that call ``tend``: units of systemd, a line of cron (pure).

There is no daemon of ours. What is printed calls one command with absolute paths, often
enough for every schedule; what is due is decided by that command alone, so that a timer
that was late, doubled or asleep does no harm.
"""

import re
import shlex
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from pipeline.errors import UsageError

MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("minutes", "hours", "days"))
FILES = ("muniment-tend.service", "muniment-tend.timer")
SERVICE = """\
# {place}
# then: systemctl --user daemon-reload
#       systemctl --user enable --now muniment-tend.timer
#       loginctl enable-linger     (to run while nobody is logged in)
[Unit]
Description=Muniment: what is due in {archive}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={folder}
ExecStart={command}
# old news and what is tried again are no failures: see Exit status in `muniment -h`
SuccessExitStatus=6 7 9
# told to stop, a run finishes its exchanges first
TimeoutStopSec=5min
Nice=10
NoNewPrivileges=yes
# where secrets of env:NAME stand, NAME=value a line, mode 0600:
# EnvironmentFile=%h/.config/muniment/environment
"""
TIMER = """\
# {place}
[Unit]
Description=Muniment: look {often} whether anything is due

[Timer]
OnCalendar={calendar}
# one that was missed while the machine was off is made up for
Persistent=true
RandomizedDelaySec=30s

[Install]
WantedBy=timers.target
"""
CRON = """\
# crontab -e, and put in:
# secrets of env:NAME are lines NAME=value above this one; what is printed is mailed
{when} cd {folder} && {command}
"""


class Call(Struct, frozen=True, kw_only=True):
    """The command that a timer calls, and where."""

    words: tuple[str, ...]
    folder: Path
    archive: Path
    every: timedelta

    def __post_init__(self) -> None:
        """Refuse what a line of a unit or of cron cannot hold. Raises UsageError."""
        for one in (*self.words, str(self.folder), str(self.archive)):
            if not one.isprintable():
                raise UsageError(f"{one!r}: no timer can name this; rename it")


def systemd(call: Call) -> tuple[tuple[str, str], ...]:
    """Write the two units, each with its name (systemd.service(5), systemd.time(7))."""
    calendar = _calendar(call.every)
    service, timer = (f"~/.config/systemd/user/{name}" for name in FILES)
    texts = (
        SERVICE.format(
            place=service,
            archive=_specified(str(call.archive)),
            folder=_specified(str(call.folder)),
            command=" ".join(_unit_word(one) for one in call.words),
        ),
        TIMER.format(place=timer, often=_often(call.every), calendar=calendar),
    )
    return tuple(zip(FILES, texts, strict=True))


def cron(call: Call) -> str:
    """Write a line for crontab(5), where a bare % ends the command."""
    command = " ".join(shlex.quote(one) for one in call.words)
    return CRON.format(
        when=_when(call.every),
        folder=shlex.quote(str(call.folder)).replace("%", r"\%"),
        command=command.replace("%", r"\%"),
    )


def _specified(text: str) -> str:
    return text.replace("%", "%%")


def _unit_word(text: str) -> str:
    """Quote a word of ExecStart: specifiers, variables, quotes and escapes."""
    plain = _specified(text).replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./-]+", plain, re.ASCII):
        return plain
    escaped = plain.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'


def _parts(every: timedelta) -> tuple[int, int]:
    """Tell a span as minutes of an hour, or hours of a day. Raises UsageError."""
    minutes, rest = divmod(every, MINUTE)
    if not rest and minutes and (60 % minutes == 0 or minutes == 60):  # noqa: PLR2004
        return (minutes, 0) if minutes < 60 else (0, 1)  # noqa: PLR2004
    hours, rest = divmod(every, HOUR)
    if not rest and hours and 24 % hours == 0:
        return (0, hours)
    raise UsageError(
        f"--every {every}: a timer comes at the same minutes of each hour or the same "
        "hours of each day; choose 5m, 10m, 15m, 30m, 1h, 2h, 6h, 12h or 1d"
    )


def _calendar(every: timedelta) -> str:
    minutes, hours = _parts(every)
    if minutes:
        return f"*:0/{minutes}"
    return f"*-*-* 0/{hours}:00:00" if hours < 24 else "daily"  # noqa: PLR2004


def _when(every: timedelta) -> str:
    minutes, hours = _parts(every)
    if minutes:
        return f"*/{minutes} * * * *"
    return f"0 */{hours} * * *" if hours < 24 else "0 0 * * *"  # noqa: PLR2004


def _often(every: timedelta) -> str:
    minutes, hours = _parts(every)
    if minutes:
        return f"every {minutes} minutes"
    return "every hour" if hours == 1 else f"every {hours} hours"
