"""What the page's server is made of: its configuration, its files, what it understands, the frames it picks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from vswitch.control.api.openapi import document
from vswitch.control.api.table import ROUTES
from vswitch.control.config import reading as config
from vswitch.control.config.difference import compare
from vswitch.control.config.reading import ConfigError
from vswitch.control.page.assets import Assets
from vswitch.control.page.said import Ask, understood
from vswitch.core.offload import HEADER
from vswitch.core.port import BridgePort
from vswitch.observe.sampler import Sampler
from vswitch.observers import Mark, Sight

if TYPE_CHECKING:
    from pathlib import Path

    from vswitch.control.config.schema import SwitchConfig

TOKEN = "a-token-for-tests-alone"


def load(page: str) -> SwitchConfig:
    return config.load(f"name: x\nports: {{a: {{tap: a0}}}}\npage: {page}\n", "lab.yml")


def problem(page: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(page)
    (found,) = error.value.problems
    return found.text()


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("{}", "3: page.listen: this key is missing"),
        ("{listen: nowhere}", "3: page.listen: 'nowhere' is not an address to listen on"),
        ("{listen: 0.0.0.0:80}", "3: page: others can reach 0.0.0.0:80: add a `token_file`"),
        ("{listen: ':80'}", "3: page: others can reach :80: add"),
        ("{listen: '[fd00::1]:80'}", "3: page: others can reach [fd00::1]:80: add"),
        ("{listen: 10.0.0.1:80, hosts: x}", "3: page: others can reach 10.0.0.1:80: add"),
        ("{listen: 127.0.0.1:80, token: short}", "3: page.token: a token has 16 to 128 letters"),
        (f"{{listen: 127.0.0.1:80, token: {TOKEN}, token_file: /x}}", "3: page: a page has `token` or `token_file`"),
        ("{listen: 127.0.0.1:80, token_file: x}", "3: page.token_file: a token_file is an absolute path"),
        ("{listen: 127.0.0.1:80, hosts: ['a b']}", "3: page.hosts: hosts are names, such as"),
        ("{listen: 127.0.0.1:80, hosts: ['x:80']}", "3: page.hosts: hosts are names, such as"),
        ("{listen: 127.0.0.1:80, host: x}", "3: page.host: unknown key; did you mean hosts?"),
    ],
)
def test_what_is_wrong_with_a_page(page: str, sentence: str) -> None:
    assert problem(page).startswith(f"lab.yml:{sentence}")


@pytest.mark.parametrize(
    "token", ["'not a secret'", "[not-a-secret-but-a-list]", "not/a/secret/really", "12345678901234567"]
)
def test_no_sentence_has_the_token_in_it(token: str) -> None:
    sentence = problem(f"{{listen: 127.0.0.1:80, token: {token}}}")
    assert "secret" not in sentence.partition("page.token: ")[2]
    assert "12345" not in sentence


@pytest.mark.parametrize(
    "page",
    [
        "{listen: 127.0.0.1:80}",
        "{listen: 127.9.9.9:80}",
        "{listen: '[::1]:80'}",
        f"{{listen: 0.0.0.0:80, token: {TOKEN}}}",
        "{listen: ':80', token_file: /etc/token}",
        "{listen: 127.0.0.1:80, hosts: lab.example.org}",
    ],
)
def test_what_is_right_with_a_page_is_dumped_and_read_again(page: str) -> None:
    found = load(page)
    assert config.validate(found.dump()).page == found.page
    assert compare(found, config.validate(found.dump())).empty


def test_a_difference_does_not_have_the_token_in_it() -> None:
    old, new = (
        load(f"{{listen: 127.0.0.1:80, token: {TOKEN}}}"),
        load("{listen: 127.0.0.1:80, token: another-of-them-all}"),
    )
    assert compare(old, new).lines == ["~ page.token is another"]
    none = config.load("name: x\nports: {a: {tap: a0}}")
    for lines in (compare(none, new).lines, compare(new, none).lines):
        assert len(lines) == 1
        assert "another" not in lines[0]
    assert TOKEN not in repr(old)


def test_the_description_says_what_needs_the_token() -> None:
    described = document(ROUTES)
    for route in ROUTES:
        operation = described["paths"][route.path][route.method.lower()]
        assert ({} in operation["security"]) is route.open
    assert "LiveAsk" in described["paths"]["/v1/live"]["get"]["description"]
    assert {"LiveAsk", "LiveHello", "LiveState", "LiveHistory", "LiveFrames"} <= set(described["components"]["schemas"])


# Files


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    (tmp_path / "views").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "views" / "ports.js").write_text("export {}")
    (tmp_path / "notes.py").write_text("import os")
    return Assets(tmp_path)


def test_files_go_by_their_names_and_have_their_types(assets: Assets) -> None:
    assert set(assets) == {"index.html", "views/ports.js"}
    answer = assets.answer("views/ports.js", make_mocked_request("GET", "/"))
    assert (answer.status, answer.body) == (200, b"export {}")
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    for name in ("notes.py", "../index.html", "views", "views/", "", "INDEX.HTML"):
        with pytest.raises(web.HTTPNotFound):
            assets.answer(name, make_mocked_request("GET", "/"))


def test_a_file_that_the_browser_has_is_not_sent_again(assets: Assets, tmp_path: Path) -> None:
    tag = assets.answer("index.html", make_mocked_request("GET", "/")).headers["ETag"]
    for known in (tag, f'W/{tag}, "x"', "*"):
        answer = assets.answer("index.html", make_mocked_request("GET", "/", {"If-None-Match": known}))
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, None, tag)
    (tmp_path / "index.html").write_text("<!doctype html><p>")
    again = Assets(tmp_path).answer("index.html", make_mocked_request("GET", "/", {"If-None-Match": tag}))
    assert again.status == 200


# Messages


def test_what_the_page_may_ask_for() -> None:
    assert understood('{"interval": 0.25}') == Ask(interval=0.25)
    assert understood('{"frames": null}').model_fields_set == {"frames"}
    assert understood('{"frames": "web", "interval": 10}').frames == "web"
    assert understood("{}").model_fields_set == set()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["interval", "frames", "x"]), inner),
    max_leaves=8,
)


asked = st.dictionaries(st.sampled_from(["interval", "frames"]), json_values)


@given(st.text(max_size=60) | (json_values | asked).map(json.dumps))
def test_any_message_is_understood_or_answered_with_a_sentence(text: str) -> None:
    try:
        found = understood(text)
    except ValueError as error:
        sentence = str(error)
        assert len(sentence) <= 300
        assert "\n" not in sentence
        assert json.loads(json.dumps(sentence)) == sentence
        return
    assert found.interval is None or 0.25 <= found.interval <= 10
    assert found.frames is None or len(found.frames) <= 32


# Frames


def sight(octets: bytes) -> Sight:
    return Sight(10**18, Mark(1, 7), BridgePort("a"), True, bytes(HEADER) + octets, None)


def test_a_sampler_keeps_what_there_is_room_for_and_counts_the_rest() -> None:
    sampler = Sampler("a")
    assert sampler.wants("a")
    assert not sampler.wants("b")
    sampler.see(sight(bytes(60)))
    sampler.room = 2
    for length in (60, 61, 62):
        sampler.see(sight(bytes(length)))
    assert sampler.lost == 2
    rows = sampler.take()
    assert [(row["length"], row["vlan"], row["direction"]) for row in rows] == [(60, 7, "out"), (61, 7, "out")]
    assert rows[0]["frame"] == "00" * 60
    assert sampler.take() == []


@given(st.binary(max_size=100))
def test_any_octets_are_sampled(octets: bytes) -> None:
    sampler = Sampler("a")
    sampler.room = 1
    sampler.see(Sight(0, Mark(1, 0), BridgePort("a"), False, octets, None))
    (row,) = sampler.take()
    assert json.loads(json.dumps(row)) == row
