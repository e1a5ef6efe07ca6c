"""One output per line, in order; an interrupted run goes on; a changed one starts over."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evaluation.generation import generate_file, one_line
from evaluation.prompts import Conversation, as_conversation

pytestmark = pytest.mark.unit

PROMPTS = [as_conversation(f"p{i}") for i in range(5)]
SETTINGS = {"bundle": "sha256:1"}


class Interrupted(Exception):
    """Stands for a kill or a dead server in the middle of a run."""


def echo(asked: list[str], *, stop_after: int | None = None) -> Callable[..., None]:
    """A producer that answers backwards (as servers may) and notes what it was asked."""

    def produce(
        prompts: Sequence[Conversation], numbers: Sequence[int], on_answer: Callable[[int, str], None]
    ) -> None:
        assert [f"p{n - 1}" for n in numbers] == [prompt[0]["content"] for prompt in prompts]
        for count, index in enumerate(reversed(range(len(prompts)))):
            if count == stop_after:
                raise Interrupted
            asked.append(prompts[index][0]["content"])
            on_answer(index, f"a to {prompts[index][0]['content']}\n second\u2028line ")

    return produce


def test_outputs_are_in_order_one_line_each(tmp_path: Path) -> None:
    output = tmp_path / "o.txt"
    assert generate_file(PROMPTS, output, SETTINGS, echo([])) == 0
    assert output.read_text() == "".join(f"a to p{i} second line\n" for i in range(5))
    assert [p.name for p in tmp_path.iterdir()] == ["o.txt"]


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    output = tmp_path / "o.txt"
    with pytest.raises(Interrupted):
        generate_file(PROMPTS, output, SETTINGS, echo([], stop_after=2))
    assert not output.exists()
    journal = tmp_path / "o.txt.part.jsonl"
    # A kill in the middle of a write leaves half a line.
    journal.write_text(journal.read_text() + '{"index": 0, "te')
    asked: list[str] = []
    assert generate_file(PROMPTS, output, SETTINGS, echo(asked)) == 2
    assert asked == ["p2", "p1", "p0"]
    assert len(output.read_text().splitlines()) == 5
    assert not journal.exists()


@pytest.mark.parametrize("change", ["settings", "prompts", "not json"])
def test_another_run_starts_over(tmp_path: Path, change: str) -> None:
    output = tmp_path / "o.txt"
    with pytest.raises(Interrupted):
        generate_file(PROMPTS, output, SETTINGS, echo([], stop_after=2))
    settings, prompts = SETTINGS, PROMPTS
    if change == "settings":
        settings = {"bundle": "sha256:2"}
    elif change == "prompts":
        prompts = PROMPTS[:4]
    else:
        (tmp_path / "o.txt.part.jsonl").write_text("oops\n")
    assert generate_file(prompts, output, settings, echo([])) == 0
    assert len(output.read_text().splitlines()) == len(prompts)


def test_a_run_killed_after_its_last_answer_asks_nothing_again(tmp_path: Path) -> None:
    output = tmp_path / "o.txt"
    with pytest.raises(Interrupted):
        generate_file(PROMPTS, output, SETTINGS, echo([], stop_after=4))
    rows = (tmp_path / "o.txt.part.jsonl").read_text().splitlines()
    (tmp_path / "o.txt.part.jsonl").write_text("\n".join([*rows, json.dumps({"index": 0, "text": "x"})]))
    asked: list[str] = []
    assert generate_file(PROMPTS, output, SETTINGS, echo(asked)) == 5
    assert asked == []
    assert output.read_text().startswith("x\n")


def test_one_line() -> None:
    assert one_line(" a\r\nb\n\n c\u2028d ") == "a b  c d"
    assert one_line("") == ""
