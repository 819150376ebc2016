"""Keys have golden values: whoever changes one makes every cache of every user worthless."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarctl.store.keys import canonical_json, digest_bytes, digest_file, is_digest, step_key

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
NAMES = st.text(st.characters(exclude_categories=["Cs"])).map(lambda s: unicodedata.normalize("NFC", s))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner), max_leaves=8)


def test_golden_canonical_json() -> None:
    value = {"б": 1, "a": [True, None, 1.0, 0.1, 1e100, -0.0, 10**20], "e\u0301": "e\u0301", "": {"z": (), "y": {}}}
    assert canonical_json(value) == (
        '{"":{"y":{},"z":[]},"a":[true,null,1.0,0.1,1e+100,0.0,100000000000000000000],"é":"é","б":1}'.encode()
    )


def test_golden_key() -> None:
    identity = {
        "stage": "speak",
        "stage_version": 1,
        "engine": "espeak",
        "cache_version": 3,
        "models": {},
        "params": {"rate": 1.0, "language": "ru", "pause": -1.0},
        "inputs": {"text": digest_bytes("Привет, мир.".encode())},
        "seed": 0,
    }
    assert step_key(identity) == "s1:7ea232769114e296741432f5a8dc124909899a6ff3f608d578d0009c17e50672"


def test_golden_digest() -> None:
    assert digest_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(VALUES)
def test_canonical_json_is_json_and_stable(value: object) -> None:
    once = canonical_json(value)
    assert canonical_json(json.loads(once)) == once


@given(st.dictionaries(NAMES, VALUES, min_size=2), st.randoms())
def test_order_of_insertion_is_nothing(value: dict[str, object], random) -> None:
    names = list(value)
    random.shuffle(names)
    assert step_key({name: value[name] for name in names}) == step_key(value)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_is_the_same_composed_or_not(text: str) -> None:
    assert canonical_json(unicodedata.normalize("NFD", text)) == canonical_json(unicodedata.normalize("NFC", text))


@given(VALUES, VALUES)
def test_roles_do_not_collide(first: object, second: object) -> None:
    if canonical_json(first) != canonical_json(second):
        assert step_key({"a": first, "b": second}) != step_key({"a": second, "b": first})


def test_case_and_number_types_matter() -> None:
    forms = [canonical_json(v) for v in ("Да", "да", 1, 1.0, True, "1", [1], None, "")]
    assert len(set(forms)) == len(forms)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [math.nan], {"a": {"b": math.inf}}])
def test_numbers_that_are_none_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no place in a key"):
        canonical_json(value)


def test_what_json_lacks_is_refused() -> None:
    for value in ({1: "a"}, {"a": b"bytes"}, {1, 2}, Path("x"), object()):
        with pytest.raises(TypeError):
            canonical_json(value)
    with pytest.raises(ValueError, match="Unicode"):
        canonical_json("\ud800")
    with pytest.raises(ValueError, match="twice"):
        canonical_json({"\u00e9": 1, "e\u0301": 2})


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_500_000])
def test_files_and_bytes_have_the_same_digest(tmp_path: Path, size: int) -> None:
    data = bytes(i * 7 % 251 for i in range(997)) * (size // 997 + 1)
    data = data[:size]
    path = tmp_path / "данные.bin"
    path.write_bytes(data)
    assert digest_file(path) == digest_bytes(data) == hashlib.sha256(data).hexdigest()


def test_the_form_of_digests() -> None:
    digest = digest_bytes(b"x")
    assert is_digest(digest)
    for wrong in (digest.upper(), digest[:-1], digest + "\n", "../" + digest[3:], ""):
        assert not is_digest(wrong)
