"""A setting comes from the highest place that names it, or is refused with its line."""

from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import (
    STARTER_MANIFEST,
    STARTER_TOML,
    Config,
    load,
    own_folder,
    show,
)
from pipeline.errors import Exit, UsageError
from pipeline.intake import manifest
from pipeline.model import Operator


class Home:
    """A home folder and a project in it, with whatever configuration a test writes."""

    def __init__(self, folder: Path):
        self.home = folder / "home"
        self.project = self.home / "work" / "project"
        self.project.mkdir(parents=True)
        self.environ = {"HOME": str(self.home)}

    def write(self, path, text, *, encoding="utf-8"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding=encoding)
        return path

    def in_project(self, text):
        return self.write(self.project / "muniment.toml", text)

    def of_the_user(self, text):
        return self.write(self.home / ".config" / "muniment" / "config.toml", text)

    def load(self, *, config_file=None, cwd=None, environ=None, **flags) -> Config:
        named = {name.replace("__", "."): value for name, value in flags.items()}
        return load(
            flags=named,
            environ=self.environ | (environ or {}),
            cwd=cwd or self.project,
            config_file=config_file,
        )

    def complaint(self, **kwargs) -> str:
        with pytest.raises(UsageError) as caught:
            self.load(**kwargs)
        assert caught.value.exit is Exit.USAGE
        return str(caught.value)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def origins(config: Config) -> dict[str, str]:
    return {name: origin for name, _, origin in show(config)}


# ------------------------------------------------------------------------- the order


def test_without_any_file_the_defaults_hold(home):
    config = home.load()
    assert config.archive == home.project / "archive"
    assert config.operator == Operator()
    assert config.allow == ()
    assert set(origins(config).values()) == {"default"}


def test_a_flag_overrules_everything(home):
    home.of_the_user('archive = "user"')
    home.in_project('archive = "file"')
    config = home.load(archive="flag", environ={"MUNIMENT_ARCHIVE": "variable"})
    assert config.archive == home.project / "flag"
    assert origins(config)["archive"] == "--archive"


def test_a_variable_overrules_the_files(home):
    home.in_project('archive = "file"')
    config = home.load(environ={"MUNIMENT_ARCHIVE": "variable"})
    assert config.archive == home.project / "variable"
    assert origins(config)["archive"] == "MUNIMENT_ARCHIVE"


def test_the_projects_file_overrules_the_users(home):
    home.of_the_user('archive = "user"')
    path = home.in_project('# a remark\narchive = "file"')
    config = home.load()
    assert config.archive == home.project / "file"
    assert origins(config)["archive"] == f"{path}:2"


def test_the_users_file_overrules_the_defaults(home):
    path = home.of_the_user('[operator]\nname = "A. Example"')
    config = home.load()
    assert config.operator.name == "A. Example"
    assert origins(config)["operator.name"] == f"{path}:2"


def test_each_setting_is_looked_for_on_its_own(home):
    user = home.of_the_user(
        '[operator]\nname = "A. Example"\ncontact = "a@example.org"'
    )
    file = home.in_project('[operator]\nname = "B. Example"')
    config = home.load(environ={"MUNIMENT_OPERATOR_ORGANISATION": "Example Archive"})
    assert config.operator == Operator(
        name="B. Example", organisation="Example Archive", contact="a@example.org"
    )
    assert (
        origins(config).items()
        >= {
            "archive": "default",
            "operator.name": f"{file}:2",
            "operator.organisation": "MUNIMENT_OPERATOR_ORGANISATION",
            "operator.contact": f"{user}:3",
            "network.allow": "default",
            "network.proxy": "default",
            "seal.key": "default",
            "seal.authority": "default",
        }.items()
    )


@pytest.mark.parametrize("absent", [None, (), []], ids=repr)
def test_a_flag_that_was_not_given_overrules_nothing(home, absent):
    home.in_project('[network]\nallow = ["192.0.2.0/24"]')
    assert home.load(network__allow=absent).allow == (ip_network("192.0.2.0/24"),)


def test_an_empty_variable_overrules_nothing(home):
    home.in_project('archive = "file"')
    assert home.load(environ={"MUNIMENT_ARCHIVE": ""}).archive.name == "file"


# ------------------------------------------------------------------ where files are found


def test_the_file_is_found_upward(home):
    home.in_project('archive = "kept"')
    deep = home.project / "a" / "b"
    deep.mkdir(parents=True)
    assert home.load(cwd=deep).archive == home.project / "kept"


def test_the_nearest_file_is_taken_and_those_above_are_not(home):
    home.write(home.home / "muniment.toml", 'archive = "far"\n[operator]\nname = "X"')
    home.in_project('archive = "near"')
    config = home.load()
    assert (config.archive.name, config.operator.name) == ("near", "")


def test_a_folder_of_that_name_is_no_file(home):
    (home.project / "muniment.toml").mkdir()
    assert origins(home.load())["archive"] == "default"


def test_a_named_file_is_read_instead_of_the_one_found(home):
    home.in_project('archive = "found"\n[operator]\nname = "X"')
    other = home.write(home.home / "other.toml", 'archive = "named"')
    config = home.load(config_file=other)
    assert config.archive == home.home / "named"
    assert config.operator.name == ""


def test_a_named_file_is_relative_to_where_one_stands(home):
    home.write(home.project / "conf" / "m.toml", 'archive = "kept"')
    config = home.load(config_file=Path("conf/m.toml"))
    assert config.archive == home.project / "conf" / "kept"


def test_the_file_may_be_named_by_a_variable_with_a_tilde(home):
    home.write(home.home / "m.toml", 'archive = "kept"')
    config = home.load(environ={"MUNIMENT_CONFIG": "~/m.toml"})
    assert config.archive == home.home / "kept"


def test_a_named_file_that_is_absent_is_an_error(home):
    complaint = home.complaint(config_file=Path("nowhere.toml"))
    assert complaint.startswith(f"{home.project}/nowhere.toml: No such file")


def test_a_named_file_that_is_a_folder_is_an_error(home):
    assert "Is a directory" in home.complaint(config_file=home.project)


def test_the_users_file_is_found_where_xdg_says(home, tmp_path):
    home.of_the_user('archive = "home"')
    path = home.write(tmp_path / "xdg" / "muniment" / "config.toml", 'archive = "xdg"')
    config = home.load(environ={"XDG_CONFIG_HOME": str(tmp_path / "xdg")})
    assert origins(config)["archive"] == f"{path}:1"


def test_a_relative_xdg_folder_is_ignored_as_its_specification_says(home):
    path = home.of_the_user('archive = "home"')
    config = home.load(environ={"XDG_CONFIG_HOME": "elsewhere"})
    assert origins(config)["archive"] == f"{path}:1"


def test_a_configuration_that_may_not_be_looked_at_is_none(home):
    # A name too long for the file system fails as a forbidden folder does.
    config = home.load(environ={"XDG_CONFIG_HOME": "/" + "x" * 5000})
    assert origins(config)["archive"] == "default"


def test_without_home_the_systems_answer_serves(home):
    config = load(flags={"archive": "~/kept"}, environ={}, cwd=home.project)
    assert config.archive == Path("~").expanduser() / "kept"


# ---------------------------------------------------------------------- paths and lists


PATHS = {
    "relative to the file": ("kept", "{project}/kept"),
    "a sub-folder of the project": ("a/b", "{project}/a/b"),
    "absolute": ("/srv/kept", "/srv/kept"),
    "under the home folder": ("~/kept", "{home}/kept"),
    "the home folder itself": ("~", "{home}"),
    "not ASCII": ("بایگانی", "{project}/بایگانی"),
}


@pytest.mark.parametrize(("written", "expected"), PATHS.values(), ids=PATHS)
def test_a_path_is_relative_to_the_file_that_names_it(home, written, expected):
    home.in_project(f'archive = "{written}"')
    deep = home.project / "deep"
    deep.mkdir()
    found = home.load(cwd=deep).archive
    assert str(found) == expected.format(project=home.project, home=home.home)


def test_networks_are_read_from_a_file(home):
    home.in_project('[network]\nallow = ["10.0.0.0/8", "::1/128"]')
    assert home.load().allow == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize("text", ["10.0.0.0/8,::1/128", " 10.0.0.0/8  ::1/128 "])
def test_networks_in_a_variable_are_parted_by_commas_or_spaces(home, text):
    config = home.load(environ={"MUNIMENT_NETWORK_ALLOW": text})
    assert config.allow == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


def test_the_flag_for_networks_is_named_as_a_person_writes_it(home):
    config = home.load(network__allow=("127.0.0.0/8",))
    assert origins(config)["network.allow"] == "--allow-address"


def test_show_writes_networks_as_a_person_would(home):
    rows = show(home.load(network__allow=("127.0.0.0/8", "10.0.0.0/8")))
    assert ("network.allow", "127.0.0.0/8, 10.0.0.0/8", "--allow-address") in rows


# ------------------------------------------------------------------------- what is refused


class Bad(NamedTuple):
    text: str
    line: str  # ":3", or ":3:5" where TOML itself is broken
    says: tuple[str, ...]


BAD = {
    "an unknown key": Bad(
        'archiv = "x"', ":1", ("archiv: unknown setting", '"archive"')
    ),
    "an unknown table": Bad("[operater]", ":1", ("unknown setting", '"operator"')),
    "an unknown key in a table": Bad(
        '[operator]\n\nnmae = "x"', ":3", ("operator.nmae", '"operator.name"')
    ),
    "a key that belongs in a table": Bad('proxy = "x"', ":1", ('"network.proxy"',)),
    "a key like no other": Bad("colour = 1", ":1", ("known: archive, operator.name",)),
    "a number for a path": Bad("archive = 5", ":1", ("expected text", "a number")),
    "a list for a path": Bad("archive = []", ":1", ("expected text", "a list")),
    "a date for a name": Bad(
        "[operator]\nname = 2026-01-01", ":2", ("expected text", "a date")
    ),
    "yes or no for a name": Bad(
        "[operator]\nname = true", ":2", ("expected text", "true or false")
    ),
    "a table for a path": Bad("[archive]", ":1", ("expected text", "a table")),
    "an empty path": Bad('archive = ""', ":1", ("expected a folder",)),
    "someone else's home": Bad('archive = "~eve/x"', ":1", ('found "~eve/x"',)),
    "a NUL in a path": Bad(r'archive = "a\u0000b"', ":1", ("one line of plain text",)),
    "two lines in a name": Bad(
        '[operator]\nname = "A\\nB"', ":2", ("one line of plain text", r"'A\nB'")
    ),
    "text for a table": Bad('operator = "A"', ":1", ("operator: expected a table",)),
    "text for a list": Bad(
        '[network]\nallow = "10.0.0.0/8"', ":2", ("a list of networks", '"10.0.0.0/8"')
    ),
    "a number in the list": Bad("[network]\nallow = [8]", ":2", ("expected text",)),
    "no network": Bad(
        '[network]\nallow = ["home"]', ":2", ("'home'", "192.168.7.0/24")
    ),
    "an address within a network": Bad(
        '[network]\nallow = ["10.0.0.1/8"]', ":2", ("host bits set",)
    ),
    "a proxy": Bad('[network]\nproxy = "http://p"', ":2", ("not supported yet",)),
    "a key that is no text": Bad("[seal]\nkey = 3", ":2", ("expected text in quotes",)),
    "an authority without roots": Bad(
        '[[seal.authority]]\nname = "x"\nurl = "https://x.example/"',
        ":1",
        ("an authority needs its roots; without pinned roots nobody is believed",),
    ),
    "an authority without an address": Bad(
        '[[seal.authority]]\nname = "x"', ":1", ("an authority needs its url",)
    ),
    "an authority with an odd name": Bad(
        '[[seal.authority]]\nname = "A/B"\nurl = "https://x.example/"\nroots = "r"',
        ":1",
        ("a short name of a-z, 0-9 and hyphens",),
    ),
    "an authority that is no web address": Bad(
        '[[seal.authority]]\nname = "x"\nurl = "x.example"\nroots = "r"',
        ":1",
        ("the URL of an authority",),
    ),
    "an authority's root by a digest that is none": Bad(
        '[[seal.authority]]\nname = "x"\nurl = "https://x.example/"\nroots = "sha256:12"',
        ":1",
        ("64 hexadecimal digits",),
    ),
    "an authority named twice": Bad(
        (
            '[[seal.authority]]\nname = "x"\nurl = "https://x.example/"\nroots = "r"\n'
            * 2
        ),
        ":1",
        ('"x" names 2 authorities',),
    ),
    "an authority with an unknown key": Bad(
        '[[seal.authority]]\nname = "x"\nport = "1"', ":1", ('unknown key "port"',)
    ),
    "authorities that are no tables": Bad(
        '[seal]\nauthority = ["x"]', ":2", ("expected a table",)
    ),
    "an address written out": Bad(
        '[notify]\nurl = "slack://T0/B0/secret"', ":2", ("env:NAME", "is not shown")
    ),
    "a digest of another kind": Bad(
        '[notify]\ndigest = "hourly"', ":2", ('found "hourly"',)
    ),
    "an inline table": Bad('operator = {nam = "x"}', ":1", ('"operator.name"',)),
    "broken TOML": Bad('archive = "x"\n[network\n', ":2:9", ("expected TOML",)),
    "TOML that ends too soon": Bad('archive = "x', ":1:", ("expected TOML",)),
    "a key that stands twice": Bad(
        'archive = "x"\narchive = "y"', ":2:", ("expected TOML",)
    ),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_a_mistake_is_told_with_its_file_and_line(home, case):
    path = home.in_project(case.text)
    complaint = home.complaint()
    assert complaint.startswith(f"{path}{case.line}")
    assert all(words in complaint for words in case.says), complaint


@pytest.mark.parametrize("table", ["[notify]", '[network]\nproxy = ""'])
def test_a_feature_to_come_may_stand_there_empty(home, table):
    home.in_project(table)
    assert home.load().allow == ()


def test_a_mistake_in_an_overruled_file_is_told_too(home):
    home.of_the_user("archive = 5")
    home.in_project('archive = "fine"')
    assert "expected text" in home.complaint()


def test_a_proxy_in_a_variable_is_refused_too(home):
    complaint = home.complaint(environ={"MUNIMENT_NETWORK_PROXY": "http://p"})
    assert complaint.startswith("MUNIMENT_NETWORK_PROXY: network.proxy: not supported")


def test_a_bad_flag_is_told_by_its_name(home):
    complaint = home.complaint(network__allow=("10.0.0.1/8",))
    assert complaint.startswith(
        "--allow-address: network.allow: 10.0.0.1/8 has host bits"
    )


def test_a_file_that_is_not_utf8_is_told_with_the_byte(home):
    path = home.write(
        home.project / "muniment.toml", 'archive = "é"', encoding="latin-1"
    )
    assert home.complaint() == f"{path}: byte 11 is not UTF-8; save the file as UTF-8"


def test_a_file_that_may_not_be_read_is_an_error(home):
    path = home.in_project("")
    path.unlink()
    path.symlink_to("/proc/self/mem")  # opens, and fails to be read
    assert "Input/output error" in home.complaint(config_file=path)


def test_a_quoted_key_still_names_its_file(home):
    path = home.in_project('"archive" = 5')
    assert home.complaint().startswith(f"{path}: archive: expected text")


# -------------------------------------------------------------------------- the starters


def test_the_starter_file_says_what_the_defaults_say(home):
    home.in_project(STARTER_TOML)
    written = [row[:2] for row in show(home.load())]
    (home.project / "muniment.toml").unlink()
    assert written == [row[:2] for row in show(home.load())]


def test_the_starter_manifest_has_no_mistake_and_no_warning(tmp_path):
    path = tmp_path / "starter.yaml"
    path.write_text(STARTER_MANIFEST, encoding="utf-8")
    read, problems = manifest.check(path)
    assert problems == ()
    assert read is not None
    assert [source.id for source in read.sources] == ["example"]


PIECES = ("archive", "operator", "[network]", "allow", "seal", ".", "=", "[", "]", "\n")
PIECES += ('"', "'", "{", "}", "5", "true", "#", "é", "\x00", "2026-01-01", ",", '""')


@settings(max_examples=100, derandomize=True, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
def test_whatever_the_file_holds_is_used_or_refused(tmp_path_factory, pieces):
    folder = tmp_path_factory.getbasetemp()
    (folder / "m.toml").write_text("".join(pieces), encoding="utf-8")
    named = Path("m.toml")
    try:
        load(flags={}, environ={"HOME": str(folder)}, cwd=folder, config_file=named)
    except UsageError as error:
        assert str(error).startswith(str(folder / "m.toml"))


def test_private_keys_lie_where_the_users_settings_do(tmp_path) -> None:
    home = {"HOME": str(tmp_path)}
    assert own_folder(home) == tmp_path / ".config/muniment"
    assert (
        own_folder(home | {"XDG_CONFIG_HOME": "odd"}) == tmp_path / ".config/muniment"
    )
    assert own_folder(home | {"XDG_CONFIG_HOME": "/own"}) == Path("/own/muniment")


# ----------------------------------------------------------------------- who says when


def test_authorities_are_read_with_roots_beside_the_file_or_in_the_bundle(home):
    file = home.in_project(
        '[seal]\nkey = "file:keys/own.pem"\n'
        '[[seal.authority]]\nname = "one"\nurl = "https://one.example/tsr"\nroots = "one.pem"\n'
        '[[seal.authority]]\nname = "two"\nurl = "http://two.example"\nroots = "sha256:AB%s"\n'
        % (":cd" * 31)
    )
    config = home.load()
    assert config.key == file.parent / "keys" / "own.pem"
    one, two = config.authorities
    assert one.roots == file.parent / "one.pem"
    assert str(two.roots) == "sha256:ab" + "cd" * 31
    told = {name: value for name, value, _ in show(config)}
    assert told["seal.authority"].startswith("one <https://one.example/tsr>, two")


def test_without_a_key_none_is_named(home):
    config = home.load()
    assert config.key is None
    assert config.authorities == ()


def test_the_address_that_sites_see_is_told_in_its_shortest_form(home):
    home.in_project('[operator]\nip = "2001:0DB8::0001"')
    assert home.load().operator.ip == "2001:db8::1"


def test_an_address_that_is_none_is_refused(home):
    home.in_project('[operator]\nip = "my house"')
    with pytest.raises(UsageError, match="expected an IP address"):
        home.load()


SERVERS = {
    "a name": ("time.example.org", "time.example.org:123"),
    "a name in capitals": ("Time.Example.org", "time.example.org:123"),
    "a port": ("192.0.2.1:1123", "192.0.2.1:1123"),
    "an IPv6 address": ("[2001:db8::1]", "[2001:db8::1]:123"),
}


@pytest.mark.parametrize(("written", "told"), SERVERS.values(), ids=SERVERS)
def test_a_time_server_is_named_with_or_without_a_port(home, written, told):
    home.in_project(f'[clock]\nsntp = ["{written}"]')
    assert [str(one) for one in home.load().sntp] == [told]


def test_time_servers_may_stand_in_the_environment(home):
    found = home.load(environ={"MUNIMENT_CLOCK_SNTP": "one.example, two.example:9"})
    assert [str(one) for one in found.sntp] == ["one.example:123", "two.example:9"]


NO_SERVERS = {
    "a URL": 'sntp = ["https://time.example"]',
    "a path": 'sntp = ["time.example/x"]',
    "no port": 'sntp = ["time.example:ntp"]',
    "port nought": 'sntp = ["time.example:0"]',
    "a user": 'sntp = ["me@time.example"]',
    "nothing": 'sntp = [""]',
    "half a bracket": 'sntp = ["[::1"]',
    "a space": 'sntp = ["time example"]',
    "no list": 'sntp = "time.example"',
    "a number in it": "sntp = [7]",
    "too many": f"sntp = {['x.example'] * 9}",
}


@pytest.mark.parametrize("written", NO_SERVERS.values(), ids=NO_SERVERS)
def test_what_is_no_time_server_is_refused(home, written):
    home.in_project(f"[clock]\n{written}")
    with pytest.raises(UsageError, match=r"muniment\.toml:2: clock\.sntp: expected"):
        home.load()
