"""Passwords of the metrics: what is right, what is wrong, and what they cost."""

from __future__ import annotations

import base64

import pytest

from tests.running import vswitch
from vswitch.control.metrics.credentials import Passwords, hashed, is_hash

HASH = hashed("s3cret:with a colon, and ü")


def header(user: str, password: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def test_a_hash_is_one_and_never_the_same() -> None:
    assert is_hash(HASH)
    assert hashed("a") != hashed("a")
    assert "s3cret" not in HASH


@pytest.mark.parametrize(
    "text",
    ["", "secret", HASH[:-1], HASH + "0", HASH.upper(), HASH.replace(":14:", ":24:"), HASH.replace(":14:", ":1:"),
     HASH.replace(":8:", ":99:"), HASH.replace("scrypt", "bcrypt"), f"{HASH}\n"],
)  # fmt: skip
def test_what_is_no_hash_or_costs_too_much_is_refused(text: str) -> None:
    assert not is_hash(text)


def test_right_and_wrong() -> None:
    passwords = Passwords({"bob": HASH, "eve": hashed("other")})
    good = header("bob", "s3cret:with a colon, and ü")
    assert not passwords.known(good)
    assert passwords.check(good)
    assert passwords.known(good)
    assert passwords.check(header("bob", "s3cret:with a colon, and ü", "BASIC"))
    for wrong in (
        header("eva", "s3cret:with a colon, and ü"), header("bob", "other"),
        header("eve", "s3cret:with a colon, and ü"), header("", ""), header("eva", "other"),
        "", "Basic", "Basic !!", "Basic \udcff", "Bearer x", good + "x", "Basic " + "A" * 7000,
    ):  # fmt: skip
        assert not passwords.check(wrong)
        assert not passwords.known(wrong)
    assert not Passwords({}).wanted


def test_what_is_remembered_is_bounded() -> None:
    passwords = Passwords({"bob": HASH})
    good = header("bob", "s3cret:with a colon, and ü")
    for spaces in range(1, 6):
        assert passwords.check(good.replace(" ", " " * spaces))
    assert len(passwords._known) <= 2


def test_no_password_is_none() -> None:
    result = vswitch("password")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "vswitch: there is no password; type one, or pipe one in as a line\n"
