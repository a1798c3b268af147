"""Settings: declared once, read once, everything wrong said at once, and no secret ever printed."""

from __future__ import annotations

import contextlib
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axis.core.errors import SettingsError
from axis.setting_values import Secret
from axis.settings import SETTINGS, Language, LogFormat, Settings, read_settings, show_settings


def _problems(**environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        read_settings({"AXIS_LANG": "en", **environ})
    return caught.value.problems


def _written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_nothing_set_is_an_embedded_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any variable: one process, SQLite in ./.axis, loopback only."""
    monkeypatch.chdir(tmp_path)

    settings = read_settings({})

    home = tmp_path / ".axis"
    assert (home, home / "blobs", home / "keys") == (settings.home, settings.blobs, settings.keys)
    assert f"sqlite+aiosqlite:///{home}/ledger.db" == settings.database_url.reveal()
    assert (home / "trust.pem",) == settings.trust
    assert settings.is_embedded
    assert not settings.is_postgresql
    assert (settings.http_host, settings.http_port) == ("127.0.0.1", 8080)
    assert (settings.lang, settings.log_format) == (Language.VI, LogFormat.AUTO)
    assert frozenset() == settings.given


def test_all_problems_are_listed_together() -> None:
    """Misspelt names, wrong values and missing partners of one kind come in one go, each with its name."""
    problems = _problems(
        AXIS_DATABSE_URL="postgresql://axis@db/axis",
        AXIS_HTTP_PORT="eighty",
        AXIS_LOG_FORMAT="xml",
        AXIS_TRUST="/nowhere/root.pem",
        AXIS_STATION_URL="ftp://axis",
        AXIS_WINDOW="0",
    )

    assert problems == (
        "AXIS_DATABSE_URL: no such setting; did you mean AXIS_DATABASE_URL?",
        "AXIS_HTTP_PORT: 'eighty': expected a whole number from 0 to 65535",
        "AXIS_TRUST: '/nowhere/root.pem': expected a file that exists and may be read",
        "AXIS_LOG_FORMAT: 'xml': expected one of auto, json, pretty",
        "AXIS_WINDOW: '0': expected a whole number from 1 to 100000",
        "AXIS_STATION_URL: expected an address of the form http:// | https:// | amqp:// | amqps://",
    )


def test_problems_come_in_the_language_of_the_reader() -> None:
    """Vietnamese unless AXIS_LANG says otherwise."""
    with pytest.raises(SettingsError, match="AXIS_HTTP_PORT: 'tám': không hợp lệ, cần số nguyên"):
        read_settings({"AXIS_HTTP_PORT": "tám"})


def test_names_of_others_and_of_the_tests_are_left_alone() -> None:
    """PATH is not ours, AXIS_TEST_* belongs to the tests."""
    settings = read_settings({"PATH": "/bin", "AXIS_TEST_DATABASE_URL": "x", "AXIS_TEST_ANYTHING": "y"})

    assert frozenset() == settings.given


def test_an_empty_variable_is_not_set() -> None:
    """`AXIS_HTTP_PORT: ${PORT:-}` in a compose file must not stop the start."""
    assert read_settings({"AXIS_HTTP_PORT": "", "AXIS_METRICS_TOKEN_FILE": ""}).http_port == 8080


@pytest.mark.threat("secrets in logs and on screens", control="secrets of the settings print as stars")
def test_secrets_print_as_stars() -> None:
    """Neither repr, str, formatting nor `axis config` shows one, also inside an address."""
    settings = read_settings(
        {
            "AXIS_DATABASE_URL": "postgresql://axis:pw-one@127.0.0.1/axis?sslmode=require&sslpassword=pw-two",
            "AXIS_BROKER_URL": "amqp://axis:pw-three@127.0.0.1:5672/",
            "AXIS_METRICS_TOKEN": "pw-four",
            "AXIS_STATION_KEY": "pw-five",
        }
    )

    printed = (
        f"{settings!r} {settings} {show_settings(settings)} {settings.metrics_token} {settings.broker_urls}"
    )

    assert "pw-" not in printed
    shown = {line.name: line.value for line in show_settings(settings)}
    assert shown["AXIS_DATABASE_URL"] == "postgresql+asyncpg://axis:****@127.0.0.1/axis"
    assert shown["AXIS_BROKER_URL"] == "amqp://axis:****@127.0.0.1:5672/"
    assert shown["AXIS_METRICS_TOKEN"] == "****"


def test_a_refused_secret_is_not_repeated() -> None:
    """The message about a wrong address does not print the address."""
    problems = _problems(
        AXIS_DATABASE_URL="mysql://axis:hunter2@db/axis", AXIS_BROKER_URL="http://u:hunter2@b"
    )

    assert "hunter2" not in " ".join(problems)
    assert len(problems) == 2


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """The last line break is not part of it; the address takes the password in, escaped."""
    settings = read_settings(
        {
            "AXIS_DATABASE_URL": "postgresql://axis@127.0.0.1:5432/axis",
            "AXIS_DATABASE_PASSWORD_FILE": _written(tmp_path / "db", "p@ss/w:rd\n"),
            "AXIS_BROKER_URL": "amqp://axis@127.0.0.1:1/, amqp://axis@127.0.0.1:2/",
            "AXIS_BROKER_PASSWORD_FILE": _written(tmp_path / "broker", "bunny\r\n"),
            "AXIS_BROKER_MANAGEMENT_URL": "http://127.0.0.1:15672",
        }
    )

    assert settings.database_url.reveal() == "postgresql+asyncpg://axis:p%40ss%2Fw%3Ard@127.0.0.1:5432/axis"
    assert [one.reveal() for one in settings.broker_urls] == [
        "amqp://axis:bunny@127.0.0.1:1/",
        "amqp://axis:bunny@127.0.0.1:2/",
    ]
    assert settings.broker_management_url == Secret("http://axis:bunny@127.0.0.1:15672")


def test_only_secrets_may_stand_in_files(tmp_path: Path) -> None:
    """Anything else with _FILE is a name nobody declared; a file that is missing, empty or binary is a problem."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    problems = _problems(
        AXIS_HTTP_PORT_FILE=_written(tmp_path / "port", "80"),
        AXIS_METRICS_TOKEN_FILE=str(tmp_path / "missing"),
        AXIS_STATION_KEY_FILE=_written(tmp_path / "empty", "\n"),
        AXIS_STATION_SECRET_FILE=str(tmp_path / "binary"),
        AXIS_BROKER_PASSWORD="x",
        AXIS_BROKER_PASSWORD_FILE=_written(tmp_path / "twice", "y"),
    )

    assert problems == (
        "AXIS_BROKER_PASSWORD_FILE: AXIS_BROKER_PASSWORD is set as well",
        "AXIS_HTTP_PORT_FILE: no such setting; did you mean AXIS_HTTP_PORT?",
        "AXIS_METRICS_TOKEN_FILE: the file cannot be read (No such file or directory)",
        "AXIS_STATION_KEY_FILE: the file is empty or too large",
        "AXIS_STATION_SECRET_FILE: the file cannot be read (UTF-8)",
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("postgresql://a@h:1/axis", "postgresql+asyncpg://a@h:1/axis"),
        ("postgres://a@h/axis", "postgresql+asyncpg://a@h/axis"),
        ("postgresql+asyncpg://a@h/axis", "postgresql+asyncpg://a@h/axis"),
        ("postgresql://a@h/axis?sslmode=verify-full", "postgresql+asyncpg://a@h/axis?ssl=verify-full"),
        ("sqlite:///ledger.db", "sqlite+aiosqlite:///ledger.db"),
        ("sqlite:////srv/axis/ledger.db", "sqlite+aiosqlite:////srv/axis/ledger.db"),
    ],
)
def test_database_addresses_name_their_driver(written: str, read: str) -> None:
    """People write the address everybody writes; the driver is our business."""
    assert read == read_settings({"AXIS_DATABASE_URL": written}).database_url.reveal()


@pytest.mark.parametrize(
    "written", ["sqlite:///", "sqlite://h/x", "postgresql://h", "postgresql:///axis", "x"]
)
def test_half_a_database_address_is_refused(written: str) -> None:
    """An address without host, database or file."""
    assert len(_problems(AXIS_DATABASE_URL=written)) == 1


@pytest.mark.threat("eavesdropping", control="no listener and no password beyond loopback without TLS")
def test_nothing_goes_beyond_this_machine_in_the_clear(tmp_path: Path) -> None:
    """A listener, or an address that holds a password, needs TLS or a word that something else adds it."""
    plain = {
        "AXIS_HTTP_HOST": "0.0.0.0",
        "AXIS_BROKER_URL": "amqps://axis@broker/,amqp://axis@broker/",
        "AXIS_BROKER_MANAGEMENT_URL": "http://broker:15672",
        "AXIS_STATION_URL": "http://axis.example.gov.vn",
    }
    certificate = _written(tmp_path / "cert.pem", "x")

    problems = _problems(**plain)

    assert [problem.partition(":")[0] for problem in problems] == [
        "AXIS_HTTP_HOST",
        "AXIS_BROKER_URL",
        "AXIS_BROKER_MANAGEMENT_URL",
        "AXIS_STATION_URL",
    ]
    assert read_settings({**plain, "AXIS_ALLOW_PLAIN": "true"}).allow_plain
    assert read_settings(
        {"AXIS_HTTP_HOST": "0.0.0.0", "AXIS_HTTP_CERT": certificate, "AXIS_HTTP_KEY": certificate}
    ).http_cert


def test_settings_that_belong_together_come_together(tmp_path: Path) -> None:
    """A certificate without key, a client root without TLS, a broker's password without a broker."""
    pem = _written(tmp_path / "one.pem", "x")

    problems = _problems(
        AXIS_HTTP_KEY=pem, AXIS_HTTP_CLIENT_CA=pem, AXIS_BROKER_PASSWORD="x", AXIS_BROKER_EXTERNAL="true"
    )

    assert problems == (
        "AXIS_HTTP_CERT: must be set together with AXIS_HTTP_KEY",
        "AXIS_BROKER_PASSWORD: needs AXIS_BROKER_URL",
        "AXIS_BROKER_EXTERNAL: needs AXIS_BROKER_URL",
        "AXIS_HTTP_CLIENT_CA: needs AXIS_HTTP_CERT",
        "AXIS_BROKER_EXTERNAL: needs AXIS_BROKER_CERT",
    )


def test_settings_do_not_change_after_they_were_read() -> None:
    """What a process was started with is what it runs with."""
    settings = read_settings({})

    with pytest.raises(FrozenInstanceError):
        settings.http_port = 1  # type: ignore[misc]  # that is the point


def test_every_field_is_declared_with_both_languages() -> None:
    """`axis config` and docs/settings.md list everything there is."""
    declared = {one.attribute for one in SETTINGS}

    assert {one.name for one in fields(Settings)} - {"given"} == declared
    assert [one.name for one in SETTINGS if not (one.said.vi and one.said.en)] == []
    assert len({one.name for one in SETTINGS}) == len(SETTINGS)


_HOSTILE = st.text(max_size=60) | st.sampled_from(
    [
        "[",
        "http://[",
        "amqp://h:99999/",
        "~nobody-of-that-name/x",
        "a" * 5000,
        "-1",
        "٣",
        "1_0",
        "\udcff",
        "{home}",
    ]
)


@given(
    st.dictionaries(
        st.sampled_from([one.name for one in SETTINGS]) | st.text(max_size=12).map(lambda one: f"AXIS_{one}"),
        _HOSTILE,
        max_size=6,
    )
)
def test_whatever_is_set_it_is_read_or_refused(environ: dict[str, str]) -> None:
    """No text in any setting raises anything but the list of problems, and showing the settings never fails."""
    with contextlib.suppress(SettingsError):
        assert len(show_settings(read_settings(environ))) == len(SETTINGS)
