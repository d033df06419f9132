"""The maps in the docstrings are the architecture; these tests keep them true.

``pipeline.__doc__`` maps the package, the docstring of each chapter maps the chapter.
Read one after the other they give every module a place, and a module imports only what
stands before it: at the top of its file, within a function, for the type checker only
or by ``import_module`` with a literal name.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline

PACKAGE = pipeline.__name__
ROOT = Path(pipeline.__file__).parent
LINE = re.compile(r"^ {4}([a-z_]\w*)(/?) {2,}(\S.*)$", flags=re.MULTILINE)

# Folders of alternatives that are all driven alike; none may know of another.
FAMILIES: frozenset[str] = frozenset({f"{PACKAGE}.handoff.targets"})

# What has to do with sockets: a line of the network, the handshake on what it opened,
# the gate by which a browser comes in, and the demo site, which listens.
CAPTURE_DOORS = ("datagram", "line", "tls", "authority", "gate", "relay")
DOORS = {f"{PACKAGE}.capture.{name}" for name in CAPTURE_DOORS} | {
    f"{PACKAGE}.handoff.targets.sftp",  # paramiko loses the socket that it opens itself
    f"{PACKAGE}.newsroom",
    f"{PACKAGE}.selftest",
    f"{PACKAGE}.timekeeper",
}
SOCKETS = re.compile(
    r"(socket|ssl|socketserver|asyncio|urllib3|urllib\.request|http\.(client|server))\b"
)


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text("utf-8")), clean=False) or ""


def entries(folder: Path) -> list[tuple[str, bool]]:
    """The lines of a folder's map: a name, and whether it is a folder itself."""
    found = LINE.findall(docstring(folder / "__init__.py"))
    return [(name, bool(slash)) for name, slash, _ in found]


def reading(folder: Path = ROOT, name: str = PACKAGE) -> Iterator[str]:
    """Every module in reading order, dotted, a chapter before what it holds."""
    yield name
    for entry, is_chapter in entries(folder):
        if is_chapter:
            yield from reading(folder / entry, f"{name}.{entry}")
        else:
            yield f"{name}.{entry}"


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}
FOLDERS = {name: path for name, path in FILES.items() if path.name == "__init__.py"}
ORDER = list(reading())


def names_in(tree: ast.AST) -> Iterator[str]:
    """Whatever a module imports, at any depth of its code, dotted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import keeps its dots, which no module has in front.
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and re.search(
            r"\b(import_module|__import__)$", ast.unparse(node.func)
        ):
            yield from (a.value for a in node.args if isinstance(a, ast.Constant))


def modules_in(tree: ast.AST, known: dict[str, Path]) -> set[str]:
    """Those of our modules that it imports, and the chapters entered on the way."""
    found = set()
    for name in names_in(tree):
        parts = name.split(".")
        prefixes = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        found |= prefixes & known.keys()
    return found - {PACKAGE}


def imports(name: str) -> set[str]:
    chapters = {n for n in FOLDERS if name.startswith(f"{n}.")}
    # To be in a chapter is to have entered it.
    return modules_in(ast.parse(FILES[name].read_text("utf-8")), FILES) - chapters


def family_of(name: str) -> str:
    """The family a module is a member of, or nothing."""
    return next((f for f in FAMILIES if name.startswith(f"{f}.")), "")


def test_every_module_is_on_its_map():
    assert set(FILES) - set(ORDER) == set()


def test_every_entry_of_a_map_is_a_module():
    assert set(ORDER) - set(FILES) == set()


def test_no_map_lists_a_module_twice():
    assert [name for name in ORDER if ORDER.count(name) > 1] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_map_marks_folders_with_a_slash_and_nothing_else(folder):
    marked = {
        f"{folder}.{name}" for name, slash in entries(FOLDERS[folder].parent) if slash
    }
    assert marked == {name for name in FOLDERS if name.rpartition(".")[0] == folder}


@pytest.mark.parametrize("name", [name for name in ORDER if name in FILES])
def test_a_module_imports_only_what_stands_above_it(name):
    assert imports(name) - set(ORDER[: ORDER.index(name)]) == set()


@pytest.mark.parametrize("name", FILES)
def test_imports_are_absolute(name):
    tree = ast.parse(FILES[name].read_text("utf-8"))
    assert [found for found in names_in(tree) if found.startswith(".")] == []


@pytest.mark.parametrize("name", FILES)
def test_members_of_a_family_do_not_know_each_other(name):
    family = family_of(name)
    assert {
        used for used in imports(name) if family and family_of(used) == family
    } == set()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_chapter_opens_with_its_map_and_no_code(name):
    allowed = ast.Expr | ast.Assign  # the docstring, and the version
    body = ast.parse(FOLDERS[name].read_text("utf-8")).body
    assert all(isinstance(statement, allowed) for statement in body)


@pytest.mark.parametrize("name", FILES)
def test_a_module_says_what_it_promises(name):
    assert docstring(FILES[name]).strip()


@pytest.mark.parametrize("name", sorted(FILES.keys() - DOORS))
def test_nobody_but_the_door_opens_a_socket(name):
    tree = ast.parse(FILES[name].read_text("utf-8"))
    assert [found for found in names_in(tree) if SOCKETS.match(found)] == []


def test_nobody_but_the_network_and_the_proxy_takes_up_a_line():
    line = f"{PACKAGE}.capture.line"
    users = {name for name in FILES if line in imports(name)}
    assert users == {f"{PACKAGE}.capture.{name}" for name in ("net", "proxy")}


# -------------------------------------------------------------------- the test, tested

KNOWN = dict.fromkeys(("pipeline", "pipeline.a", "pipeline.a.b", "pipeline.c"), ROOT)
WAYS = {
    "at the top": ("import pipeline.c", {"pipeline.c"}),
    "under another name": ("import pipeline.c as x", {"pipeline.c"}),
    "a name of a module": ("from pipeline.c import Thing", {"pipeline.c"}),
    "a module of the package": ("from pipeline import c", {"pipeline.c"}),
    "a module of a chapter": (
        "from pipeline.a import b",
        {"pipeline.a", "pipeline.a.b"},
    ),
    "in a function": ("def f():\n    import pipeline.c", {"pipeline.c"}),
    "for the type checker": (
        "if TYPE_CHECKING:\n    from pipeline.c import T",
        {"pipeline.c"},
    ),
    "by name": ("importlib.import_module('pipeline.c')", {"pipeline.c"}),
    "by the oldest way": ("__import__('pipeline.c')", {"pipeline.c"}),
    "the package's own version": ("from pipeline import __version__", set()),
    "what is not ours": ("import pipelines.c, requests", set()),
}


@pytest.mark.parametrize(("code", "expected"), WAYS.values(), ids=WAYS)
def test_every_way_to_import_is_seen(code, expected):
    assert modules_in(ast.parse(code), KNOWN) == expected


def test_a_relative_import_is_seen():
    assert list(names_in(ast.parse("from . import c\nfrom ..a import b"))) == [
        "..c",
        "..a.b",
    ]
