"""YAML with positions: plain data, where it stands, and every mistake in one sentence with its place."""

from __future__ import annotations

from textwrap import dedent

import pytest

from vswitch.control.config import yaml
from vswitch.control.config.yaml import Mark


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("52:54:00:11:22:33", "52:54:00:11:22:33"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("010", 10),
        ("-7", -7),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("٣", "٣"),
        ("9" * 5000, float("inf")),
        ("true", True),
        ("on", True),
        ("off", False),
        ("False", False),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("'true'", "true"),
        ("'5'", "5"),
        ("~", None),
        ("null", None),
        ("", None),
        ("=", "="),
        ("127.0.0.1:9475", "127.0.0.1:9475"),
    ],
)
def test_a_plain_word_is_what_people_mean(text: str, value: object) -> None:
    document = yaml.load(f"key: {text}")
    assert document.mistakes == []
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


def test_every_key_and_item_has_its_place() -> None:
    document = yaml.load("name: x\nports:\n  a: {tap: t0,\n      trunk: [1, 20-29]}\n")
    assert document.marks == {
        (): Mark(1, 1),
        ("name",): Mark(1, 1),
        ("ports",): Mark(2, 1),
        ("ports", "a"): Mark(3, 3),
        ("ports", "a", "tap"): Mark(3, 7),
        ("ports", "a", "trunk"): Mark(4, 7),
        ("ports", "a", "trunk", 0): Mark(4, 15),
        ("ports", "a", "trunk", 1): Mark(4, 18),
    }
    assert document.mark(("ports", "a", "mtu", 5)) == Mark(3, 3)


def test_a_key_that_stands_twice_names_both_lines_and_the_first_holds() -> None:
    document = yaml.load("a: 1\nb:\n  c: 2\n  c: 3\na: 4\n")
    assert document.data == {"a": 1, "b": {"c": 2}}
    assert [(mistake.mark, mistake.path) for mistake in document.mistakes] == [
        (Mark(4, 3), ("b", "c")),
        (Mark(5, 1), ("a",)),
    ]
    assert document.mistakes[0].message.endswith("the first is on line 3")


def test_anchors_merge_and_the_nearer_key_holds() -> None:
    text = """
        a: &a {x: 1, y: 1}
        b: &b {y: 2, z: 2}
        one: {<<: *a, x: 3}
        two: {x: 3, <<: [*a, *b]}
        same: *a
    """
    document = yaml.load(dedent(text))
    assert document.mistakes == []
    assert document.data["one"] == {"x": 3, "y": 1}
    assert document.data["two"] == {"x": 3, "y": 1, "z": 2}
    assert document.data["same"] == {"x": 1, "y": 1}


@pytest.mark.parametrize(
    ("text", "mark", "sentence"),
    [
        ("a: [1", Mark(1, 6), "expected ',' or ']'"),
        ("a: 1\n b: 2", Mark(2, 3), "mapping values are not allowed here"),
        ("a:\n\t- 1", Mark(2, 1), "cannot start any token"),
        ('a: "x', Mark(1, 6), "unexpected end of stream"),
        ("a: *b", Mark(1, 4), "undefined alias 'b'"),
        ("a: 1\n---\nb: 2", Mark(2, 1), "another document"),
        ("a: 1\nb: \0", Mark(2, 4), "the character U+0000 cannot stand here"),
        ("a: 1\nbc\x1b", Mark(2, 3), "the character U+001B cannot stand here"),
        ('a: "\\UFFFFFFFF"', Mark(1, 1), "a character that does not exist"),
        ("a: {<<: 5}", Mark(1, 9), "<<: takes a mapping"),
        ("? [a]\n: 1", Mark(1, 3), "a key has to be plain text"),
        ("a: &a [*a]", Mark(1, 4), "nested too deep"),
        ("[" * 3000, Mark(1, 1), "nested too deep"),
        ("x" * (yaml.MOST_TEXT + 1), Mark(1, 1), "longer than"),
    ],
    ids=range(14),
)
def test_a_mistake_is_one_sentence_with_its_place(text: str, mark: Mark, sentence: str) -> None:
    (mistake,) = yaml.load(text).mistakes
    assert (mistake.mark, sentence in mistake.message) == (mark, True), mistake
    assert mistake.message.isprintable()


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.abort []", "!!python/name:os.abort x", "!thing {a: 1}"])
def test_a_tag_constructs_nothing(tag: str) -> None:
    document = yaml.load(f"a: {tag}")
    assert document.mistakes == []
    assert document.data["a"] in ([], "x", {"a": 1})


@pytest.mark.parametrize("merge", ["[{}]", "{{<<: [{}]}}"])
def test_a_bomb_of_aliases_goes_off_in_small(merge: str) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {merge.format(', '.join([f'*a{n - 1}'] * 9))}" for n in range(1, 12)]
    document = yaml.load("\n".join(lines))
    assert document.data is None
    assert [mistake.message for mistake in document.mistakes] == ["too many values, or nested too deep"]
    assert len(document.marks) <= yaml.MOST_NODES
