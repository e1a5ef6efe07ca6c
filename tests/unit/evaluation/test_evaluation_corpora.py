"""Every format that people have references and outputs in, and what is said of a broken one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from evaluation.corpora import References, load_hypotheses, load_references, repair_encoding
from evaluation.errors import EvaluationError
from evaluation.prompts import load_prompts

pytestmark = pytest.mark.unit

TWO = References(["name[A]", "name[B]"], [["one"], ["two"]])


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["r.csv", "r.csv.gz"])
def test_csv_groups_by_mr_in_order_of_first_appearance(tmp_path: Path, name: str) -> None:
    text = (
        '\ufeffmr,ref\r\n"name[B], area[x]",b1\r\nname[A],a1\r\n"name[B], area[x]","b2, and ""more"""\r\n\r\n'
    )
    found = load_references(write(tmp_path / name, text))
    assert found == References(["name[B], area[x]", "name[A]"], [["b1", 'b2, and "more"'], ["a1"]])
    assert found.count == 3


def test_jsonl_with_lists_and_with_single_references(tmp_path: Path) -> None:
    rows = [
        {"input": "A", "references": ["a1", "a2"]},
        {"input": "B", "reference": "b"},
        {"input": "A", "reference": "a3"},
    ]
    found = load_references(write(tmp_path / "r.jsonl", "\n\n".join(json.dumps(row) for row in rows)))
    assert found == References(["A", "B"], [["a1", "a2", "a3"], ["b"]])


def test_text_groups_are_separated_by_blank_lines(tmp_path: Path) -> None:
    found = load_references(write(tmp_path / "r.txt", "\na1\r\na2\r\n\r\n\r\nb1\r\n\r\n"))
    assert found == References(None, [["a1", "a2"], ["b1"]])
    single = load_references(write(tmp_path / "s.txt", "a\nb\nc\n"))
    assert single.groups == [["a"], ["b"], ["c"]]


@pytest.mark.parametrize(
    "text", ["x\ny", "x\ny\n", "x\r\ny\r\n", "x\ny\n\n\n", "\ufeffx\ny\n", "output\nx\ny\n"]
)
def test_outputs_one_per_line(tmp_path: Path, text: str) -> None:
    assert load_hypotheses(write(tmp_path / "h.txt", text), TWO) == ["x", "y"]


def test_a_blank_line_inside_is_an_empty_output(tmp_path: Path) -> None:
    assert load_hypotheses(write(tmp_path / "h.txt", "\ny\n"), TWO) == ["", "y"]
    assert load_hypotheses(write(tmp_path / "h2.txt", "x\n\n\n"), TWO) == ["x", ""]


def test_line_separators_of_unicode_do_not_split_outputs(tmp_path: Path) -> None:
    assert load_hypotheses(write(tmp_path / "h.txt", "x\u2028x\x85\ny\n"), TWO)[1] == "y"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("h.csv", 'MR,output\nname[B],"y, y"\nname[A],x\n'),
        ("h.tsv", "mr\toutput\nname[B]\ty, y\nname[A]\tx\n"),
        ("tabs.csv", "MR\tref\nname[B]\ty, y\nname[A]\tx\n"),
        ("bare.tsv", "name[B]\ty, y\nname[A]\tx\n"),
        ("named.csv", 'system 1,mr\n"y, y",name[B]\nx,name[A]\n'),
        ("h.jsonl", '{"input": "name[B]", "output": "y, y"}\n{"input": "name[A]", "output": "x"}\n'),
    ],
)
def test_tables_are_matched_by_input(tmp_path: Path, name: str, text: str) -> None:
    assert load_hypotheses(write(tmp_path / name, text), TWO) == ["x", "y, y"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("h.txt", "x\n", "1 outputs for 2 inputs"),
        ("h.txt", "x\ny\nz\n", "3 outputs for 2 inputs"),
        ("h.csv", "mr,output\nname[A],x\nname[C],y\n", "'name[C]' is not in the references"),
        ("h.csv", "mr,output\nname[A],x\nname[A],y\n", "1 inputs appear more than once"),
        ("h.csv", "mr,text2,n\nname[A],x,1\n", "no column called output"),
        ("h.csv", "mr,output\nname[A],x,z\n", "row 2 has 3 columns"),
        ("h.jsonl", '{"input": 3, "output": "x"}\n', "h.jsonl:1"),
        ("h.jsonl", "{nonsense\n", "h.jsonl:1: not JSON"),
        ("h.json", "[]", "JSON Lines"),
    ],
)
def test_wrong_outputs_are_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        load_hypotheses(write(tmp_path / name, text), TWO)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("r.csv", b"", "empty"),
        ("r.csv", b"mr,ref\n", "no references"),
        ("r.csv", b"mr,ref\nA,\n", "only empty references"),
        ("r.csv", b"a,b\n1,2\n", "no column called mr"),
        ("r.txt", b"\n\n", "no references"),
        ("r.txt", b"\xff\xfe", "not UTF-8"),
        ("r.csv.gz", b"not gzip", "cannot be read"),
        ("r.jsonl", b'{"input": "a", "references": "b"}', "r.jsonl:1"),
    ],
)
def test_wrong_references_are_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EvaluationError) as caught:
        load_references(tmp_path / name)
    assert said in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no such file"):
        load_references(tmp_path / "none.csv")


def test_damaged_characters_are_repaired_and_counted() -> None:
    assert repair_encoding(["Â£20 CafÃ©", "£20", "Ł30"]) == (["£20 Café", "£20", "£30"], 2)


def test_prompts_from_every_format(tmp_path: Path) -> None:
    user = [[{"role": "user", "content": "Say: A"}], [{"role": "user", "content": "Say: B"}]]
    for name, text in {
        "i.txt": "A\nB\n\n",
        "i.csv": "mr,ref\nA,1\nA,2\nB,3\n",
        "i.jsonl": '{"input": "A", "references": ["x"]}\n{"input": "A"}\n{"input": "B"}\n',
    }.items():
        assert load_prompts(write(tmp_path / name, text), "Say: {input}") == user
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    chat = json.dumps({"messages": [*messages, {"role": "assistant", "content": "a"}]})
    assert load_prompts(write(tmp_path / "c.jsonl", chat)) == [messages]


@pytest.mark.parametrize(
    ("name", "text", "template", "said"),
    [
        ("i.txt", "A\n\nB\n", "{input}", "i.txt:2: empty line"),
        ("i.txt", "", "{input}", "no inputs"),
        ("i.txt", "A", "none", "exactly once"),
        ("i.jsonl", '{"messages": []}', "{input}", "no user message"),
        ("i.jsonl", '{"messages": [{"role": "user"}]}', "{input}", '"messages" must be'),
        ("i.jsonl", '{"text": "x"}', "{input}", "i.jsonl:1"),
    ],
)
def test_wrong_inputs_are_named(tmp_path: Path, name: str, text: str, template: str, said: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        load_prompts(write(tmp_path / name, text), template)
    assert said in str(caught.value)
