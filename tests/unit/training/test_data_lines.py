"""Damaged files: every bad line is reported with its number, and no good line is lost with it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from training.data.config import DataConfig, DataError
from training.data.records import Record, Rejected
from training.data.sources.lines import MAX_RECORD_LINES, read_csv, read_lines
from training.data.sources.tables import read_table
from training.data.sources.texts import read_text

pytestmark = pytest.mark.unit

CONFIG = DataConfig(name="t", max_row_chars=300, text_chunk_chars=100)


def rows_of(path: Path, content: bytes) -> tuple[list[Record], list[Rejected]]:
    path.write_bytes(content)
    rows = list(read_table(path, None, CONFIG))
    return [r for r in rows if isinstance(r, Record)], [r for r in rows if isinstance(r, Rejected)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'"name[The Vaults, eatType",text', "broken attribute syntax"),
        (b'"name[A], name[B]",text', "duplicate attribute"),
        (b"name[A],", "empty"),
        (b",text", "empty"),
        (b"name[A],a,b", "wrong columns"),
        (b"name[A]", "wrong columns"),
        (b"name[A],caf\xe9", "not UTF-8"),
        (b"name[A]," + b"x" * 400, "oversized"),
        (b'name[A],"never closed', "broken CSV"),
        (b'name[A],"closed" badly', "broken CSV"),
        (b"name[A],\x00\x07", "empty"),
    ],
)
def test_a_bad_row_is_reported_and_its_neighbours_stay(tmp_path: Path, row: bytes, reason: str) -> None:
    good, bad = rows_of(tmp_path / "d.csv", b"mr,ref\nname[X],first\n" + row + b"\nname[Y],last\n")
    assert [record.answer for record in good] == ["first", "last"]
    assert [(r.reason, r.place.line) for r in bad] == [(reason, 3)]


def test_a_lost_quote_costs_one_line_of_a_long_file(tmp_path: Path) -> None:
    tail = b"".join(b"name[N%d],text %d\n" % (i, i) for i in range(2 * MAX_RECORD_LINES))
    good, bad = rows_of(tmp_path / "d.csv", b'mr,ref\nname[X],"open\n' + tail)
    assert len(good) == 2 * MAX_RECORD_LINES
    assert [r.place.line for r in bad] == [2]


def test_bom_crlf_control_characters_and_newlines_in_fields_are_mended(tmp_path: Path) -> None:
    content = '\ufeffmr,ref\r\n"name[Caf\u0065\u0301 A]","two\r\nlines\x07 and ""quotes"""\r\n'.encode()
    good, bad = rows_of(tmp_path / "d.csv", content)
    assert not bad
    assert good[0].answer == 'two lines and "quotes"'
    assert good[0].prompt[0]["content"] == "name[Café A]"
    assert good[0].place.line == 2


def test_the_line_of_a_record_is_the_line_it_starts_on(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('a\n"1\n2"\nb\n')
    assert [record.line for record in read_csv(path, 100)] == [1, 2, 4]


def test_a_file_without_references_is_a_list_of_inputs(tmp_path: Path) -> None:
    good, bad = rows_of(tmp_path / "d.csv", b"MR\nname[A]\n")
    assert not bad
    assert good[0].answer is None


def test_a_header_without_mr_is_one_clear_error(tmp_path: Path) -> None:
    for content in (b"a,b\n1,2\n", b""):
        with pytest.raises(DataError, match="must name a column `mr`"):
            rows_of(tmp_path / "d.csv", content)


def test_a_cut_off_gzip_file_is_one_clear_error(tmp_path: Path) -> None:
    whole = gzip.compress(b"some text\n" * 1000)
    path = tmp_path / "d.txt.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read"):
        list(read_lines(path, 100))


def test_one_endless_line_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_bytes(b"a" * 3_000_000 + b"\nshort\n")
    assert [len(line) for line in read_lines(path, 50)] == [51, 5]


def test_text_is_cut_at_paragraphs_and_a_damaged_line_goes_alone(tmp_path: Path) -> None:
    path = tmp_path / "d.txt"
    path.write_bytes(b"one two\nthree\n\n" + b"x" * 70 + b"\n\nlater\n\xff bad\nend\n" + b"y" * 999 + b"\n")
    rows = list(read_text(path, None, CONFIG))
    texts = [row.answer for row in rows if isinstance(row, Record)]
    assert " ".join(" ".join(filter(None, texts)).split()) == f"one two three {'x' * 70} later end"
    assert [(r.reason, r.place.line) for r in rows if isinstance(r, Rejected)] == [
        ("not UTF-8", 7),
        ("oversized", 9),
    ]
