"""Incremental text: whole characters only, nothing past a stop string, the same text as decoding at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.layout import LayoutError
from edge.text import TextCodec
from tests.unit.edge.edge_text import byte_codec

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> TextCodec:
    return byte_codec(tmp_path_factory.mktemp("tokenizer"))


def pushed(codec: TextCodec, text: str, stop: tuple[str, ...] = ()) -> list[str]:
    writer = codec.writer(stop)
    parts = []
    for token in codec.encode(text, add_special_tokens=False):
        parts.append(writer.push(token))
        if writer.stopped:
            break
    return [*parts, writer.finish()]


@pytest.mark.parametrize("text", ["café £20", "東京 🙂!", "é", "plain"])
def test_a_character_comes_out_whole(codec: TextCodec, text: str) -> None:
    parts = pushed(codec, text)
    assert "".join(parts) == text
    assert all("\ufffd" not in part for part in parts)
    assert [part for part in parts if part] == list(text)


@given(text=st.text(max_size=20), stop=st.text(min_size=1, max_size=3))
def test_the_parts_are_the_text_before_the_first_stop(codec: TextCodec, text: str, stop: str) -> None:
    assert "".join(pushed(codec, text, (stop,))) == text.partition(stop)[0]


def test_what_may_become_a_stop_string_is_held_back(codec: TextCodec) -> None:
    assert pushed(codec, "a\n\nb", ("\n\n",)) == ["a", "", "", ""]
    assert pushed(codec, "a\nb", ("\n\n",)) == ["a", "", "\nb", ""]


def test_the_earliest_of_several_stops_wins(codec: TextCodec) -> None:
    assert "".join(pushed(codec, "one, two. three", (".", ","))) == "one"


def test_an_unfinished_character_is_marked_at_the_end_only(codec: TextCodec) -> None:
    first, _ = codec.encode("é", add_special_tokens=False)
    writer = codec.writer()
    assert writer.push(first) == ""
    assert writer.finish() == "\ufffd"


def test_special_tokens_are_no_text_but_have_a_name(codec: TextCodec) -> None:
    assert codec.decode([1, 2]) == ""
    assert codec.token_text(2) == "</s>"


def test_a_token_shows_its_own_bytes(codec: TextCodec) -> None:
    assert [codec.token_bytes(t) for t in codec.encode("£", add_special_tokens=False)] == [[0xC2], [0xA3]]


def test_a_file_that_is_no_tokenizer_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    with pytest.raises(LayoutError, match="not a tokenizer"):
        TextCodec(path)
