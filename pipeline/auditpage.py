"""A page that tells what an audit found: one file, made to be printed and filed.

It is as plain and as careful as the page of a verification, whose parts it uses. What
is wrong comes first, every bad file with its name; what is sound is counted, so that a
page on a hundred thousand bags can be read.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from pipeline import report
from pipeline.balance import Audited, Mended, Warned
from pipeline.holdings.checks import Checked
from pipeline.holdings.ledger import RULES as LEDGER
from pipeline.packaging.rules import RULES
from pipeline.report import END, FINDINGS, counted, isolated, row, table
from pipeline.sheet import put, text

MOST = 20  # findings of a bag that was mended; the record of checks has them all


def write(path: Path, told: Audited, *, software: str) -> None:
    """Write the page whole or not at all, to a name that is free.

    Raises UsageError where something stands there, StorageError.
    """
    put(path, page(told, software=software))


def page(told: Audited, *, software: str) -> Iterator[str]:
    """Yield the page, piece by piece."""
    yield from report.head("Audit of an archive", verdict(told))
    yield from report.facts_list(_facts(told, software))
    if told.findings:
        yield "<h2>The archive itself</h2>\n"
        yield table(FINDINGS)
        yield from map(row, told.findings)
        yield END
    if told.repaired:
        yield from _repaired(told)
    codes = {one.code for one in told.findings}
    for number, one in enumerate(told.troubled.wrong()):
        if not number:
            yield "<h2>Bags that are wrong</h2>\n"
        codes |= {each.code for each in one.findings}
        yield from _bag(one)
    if warned := told.troubled.warnings():
        codes |= {each.first.code for each in warned}
        yield from _warnings(warned)
    yield from _glossary(codes)
    yield from _foot(told)


def verdict(told: Audited) -> tuple[str, str]:
    """Say in a few words what an audit comes to."""
    mended = sum(one.is_mended for one in told.repaired)
    after = f"; {counted(mended, 'bag')} brought back from copies" if mended else ""
    errors = sum(one.severity == "error" for one in told.findings)
    if told.wrong:
        are = "is" if told.wrong == 1 else "are"
        bags = f"{told.wrong:,} of {told.checked:,} checked bags {are} wrong"
        return "bad", f"{bags}{after}"
    if told.untrue:
        said = f"Copies elsewhere are not what {counted(told.untrue, 'receipt')} say"
        return "bad", f"{said}{after}"
    if errors:
        return "bad", f"The archive's own records: {counted(errors, 'error')}{after}"
    return "good", f"{counted(told.checked, 'bag')} checked, none wrong{after}"


def scope_sentence(told: Audited) -> str:
    """Say how much of the archive was looked at."""
    parts = [f"{told.checked:,} of {counted(told.kept, 'bag')}"]
    if told.scope.percent < 100:  # noqa: PLR2004 - percent
        parts.append(f"a sample of {told.scope.percent:g}%, seed {told.scope.seed}")
    if told.scope.budget is not None:
        parts.append(f"in at most {_span(told.scope.budget)}, longest unchecked first")
    if told.checked < told.chosen:
        parts.append(f"{told.chosen - told.checked:,} left to the next audit")
    return "; ".join(parts)


def _facts(told: Audited, software: str) -> dict[str, str]:
    log = f"{counted(told.log.head.size, 'line')}"
    compared = f"{counted(told.log.checkpoints, 'checkpoint')} compared"
    records = ", ".join(told.records)
    return {
        "archive": str(told.root),
        "begun": f"{told.started:%Y-%m-%d %H:%M:%S} UTC, by the clock of this machine",
        "ended": f"{told.ended:%Y-%m-%d %H:%M:%S} UTC",
        "with": software,
        "checked": scope_sentence(told),
        "read": counted(told.bytes, "byte"),
        "custody log": f"{log}, {compared}, {'sound' if told.log.ok else 'DAMAGED'}",
        "copies": f"{counted(told.receipts, 'receipt')} asked for"
        if told.scope.copies
        else "",
        "logged in": records if not told.unlogged else f"NOT LOGGED: {told.unlogged}",
    }


def _bag(one: Checked) -> Iterator[str]:
    whose = f"copies at {text(one.target)}, by " if one.target else ""
    facts = f"{counted(one.files, 'file')}{report.DOT}{counted(one.bytes, 'byte')}"
    yield (
        f'<section>\n<h3><span class="bad">wrong</span> {whose}'
        f'{isolated(one.path)}</h3>\n<p class="facts">{text(facts)}</p>\n'
    )
    yield table(FINDINGS)
    yield from map(row, one.errors())
    yield f"{END}</section>\n"


def _warnings(warned: Iterable[Warned]) -> Iterator[str]:
    yield "<h2>Warnings, by kind</h2>\n"
    yield table(("code", "bags", "warnings", "the first", "what was found"))
    for one in warned:
        first = f"{one.path}/{one.first.path}".rstrip("/")
        yield (
            f'<tr><td class="code"><code>{text(one.first.code)}</code></td>'
            f'<td class="number">{one.bags:,}</td>'
            f'<td class="number">{one.findings:,}</td>'
            f'<td class="name">{isolated(first)}</td>'
            f'<td class="found">{text(one.first.message)}</td></tr>\n'
        )
    yield END


def _repaired(told: Audited) -> Iterator[str]:
    yield "<h2>Repairs</h2>\n"
    yield table(("repair", "bag", "what was wrong", "what was done"))
    for one in told.repaired:
        sort, word = ("good", "mended") if one.is_mended else ("bad", "not mended")
        yield (
            f'<tr><td class="word {sort}">{word}</td>'
            f'<td class="name">{isolated(one.path)}</td>'
            f"<td>{'<br>'.join(_had(one))}</td>"
            f'<td class="found">{text(repair_sentence(one))}</td></tr>\n'
        )
    yield END


def _had(one: Mended) -> Iterator[str]:
    for each in one.findings[:MOST]:
        yield f"<code>{text(each.code)}</code> {isolated(each.path)}"
    if len(one.findings) > MOST:
        yield f"and {len(one.findings) - MOST:,} more"


def repair_sentence(one: Mended) -> str:
    """Say what came of bringing a bag back."""
    if not one.is_mended:
        return one.reason
    lies = f"; the damaged one lies in {one.aside}" if one.aside else ""
    return f"restored from {one.copy}{lies}"


def _glossary(codes: set[str]) -> Iterator[str]:
    meanings = {code: rule.meaning for code, rule in RULES.items()}
    meanings |= {code: meaning for code, (_, meaning) in LEDGER.items()}
    known = sorted(codes & meanings.keys())
    if known:
        yield "<h2>What the codes mean</h2>\n<dl>\n"
        for code in known:
            yield f"<dt><code>{code}</code></dt><dd>{text(meanings[code])}</dd>\n"
        yield "</dl>\n"


def _foot(told: Audited) -> Iterator[str]:
    left = told.checked < told.kept
    part = (
        "Bags that were not checked this time are neither sound nor wrong: nothing is "
        "said of them here. "
        if left
        else ""
    )
    yield (
        f"</main>\n<footer>\n<p>{part}Checked means: every byte was read, every digest "
        "compared, and the bag held against its lines in the custody log and its "
        "seals. An error makes a bag wrong; a warning does not. Each check is kept in "
        "the records named above, which the custody log names by their digest.</p>\n"
        "</footer>\n</body>\n</html>\n"
    )


def _span(time: timedelta) -> str:
    minutes, seconds = divmod(int(time.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    told = ((hours, "hour"), (minutes, "minute"), (seconds, "second"))
    return " ".join(counted(n, noun) for n, noun in told if n) or "no time"
