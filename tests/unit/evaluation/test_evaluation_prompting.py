"""Prompt search: candidates, the budget, halving, resuming, and what bad input says."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from common.errors import ConfigError
from common.processes import free_port
from evaluation.client import ClientError
from evaluation.commands import app
from evaluation.errors import EvaluationError
from evaluation.prompting.answers import AnswerBook, Ledger
from evaluation.prompting.candidates import Candidate, axes_of, canonical, neighbours, sample
from evaluation.prompting.examples import Example, read_pools
from evaluation.prompting.job import run_search
from evaluation.prompting.models import PromptModel, ServedModel
from evaluation.prompting.render import fitted
from evaluation.prompting.scores import exact_match, results
from evaluation.prompting.search import Prompter, Search
from evaluation.prompting.task import PromptTask
from evaluation.prompts import Conversation
from tests.unit.evaluation.test_evaluation_client import server

pytestmark = pytest.mark.unit

MAGIC = "Name the food."
SPACE = {
    "instructions": ["", MAGIC, "Say hello.", "Tell me more."], "separators": ["\n", " "],
    "demonstrations": [0, 2],
    "draws": 2,
}  # fmt: skip


class FakeModel(PromptModel):
    """Gives the food where it is asked in the right words, else a guess; a token is a word."""

    def __init__(self, context: int | None = 200, stop_after: int | None = None) -> None:
        self.fingerprint = self.name = "fake"
        self.counted = "by words"
        self.context = context
        self.asked: list[str] = []
        self._stop_after = stop_after

    def answer(
        self, conversations: Sequence[Conversation], max_tokens: int, on_answer: Callable[[int, str], None]
    ) -> None:
        for index, messages in enumerate(conversations):
            if len(self.asked) == self._stop_after:
                raise KeyboardInterrupt
            text = messages[-1]["content"]
            self.asked.append(text)
            food = text.rpartition("food[")[2].partition("]")[0]
            on_answer(index, food if MAGIC in text else "no idea")

    def prompt_tokens(self, conversation: Conversation) -> int:
        return sum(self.text_tokens(message["content"]) for message in conversation)

    def text_tokens(self, text: str) -> int:
        return len(text.split()) + 1


def row(split: str, number: int, task: str = "food") -> dict[str, Any]:
    food = ("Thai", "Welsh", "Greek")[number % 3]
    question = f"What is served?\nname[{split} {number}], food[{food}]"
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": food}]
    return {"id": f"{split}-{number}", "task": task, "split": split, "messages": messages}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for split, count in (("train", 40), ("dev", 12), ("test", 6)):
        lines = (json.dumps(row(split, number)) + "\n" for number in range(count))
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return folder


def task(data: Path, **changes: Any) -> PromptTask:
    values = {
        "name": "food", "data": str(data), "rows": "food", "input": "body", "metrics": ["exact"],
        "budget": 4000,
        "sizes": {"search": 24, "demonstrations": 8}, "max_tokens": 10, "candidates": SPACE,
        "search": {"population": 8, "eta": 2, "rounds": 2, "min_inputs": 3}, "resamples": 200,
    }  # fmt: skip
    return PromptTask.from_dict({**values, **changes}, "test")


EXAMPLE = Example("k", "name[The Mill], food[French], customer rating[5 out of 5]", ("At The Mill.",))


def test_a_sample_holds_no_prompt_and_every_value_and_neighbours_differ_in_one(data: Path) -> None:
    space = task(data).candidates
    made = sample(space, 12, random.Random(1))
    assert made[0] == Candidate()
    assert len(set(made)) == 12
    assert {c.instruction for c in made} == set(space.instructions)
    assert all(canonical(c) == c for c in made)
    small = task(data, candidates={"instructions": ["a", "b"], "demonstrations": [0]}).candidates
    assert len(sample(small, 50, random.Random(1))) == 3
    best = canonical(Candidate(instruction=MAGIC, demonstrations=2, choice="nearest"))
    near = neighbours(best, space, random.Random(1))
    assert near
    assert best not in near
    for other in near:
        changed = [name for name in axes_of(space) if getattr(other, name) != getattr(best, name)]
        assert len(changed) == 1 or (set(changed) & {"demonstrations", "instruction"})


def test_pools_are_apart_and_drawn_by_the_seed(data: Path) -> None:
    pools = read_pools(task(data, report_splits=["dev", "test"]))
    sizes = [len(pools.search), len(pools.demonstrations), len(pools.report)]
    assert sizes == [24, 8, 18]
    keys = [example.key for example in (*pools.labelled, *pools.report)]
    assert len(set(keys)) == len(keys)
    assert pools.report[0].content == "name[dev 0], food[Thai]"
    assert read_pools(task(data)).search == read_pools(task(data)).search
    assert read_pools(task(data, seed=2)).search != read_pools(task(data)).search


def test_the_search_finds_the_words_within_its_budget(data: Path, tmp_path: Path) -> None:
    model = FakeModel()
    found = run_search(task(data), model, tmp_path / "out")
    report = found.report
    assert MAGIC in report.best.instruction
    assert report.arm("best").metrics[0].value == 100
    assert report.arm("none").metrics[0].value == 0
    assert report.arm("best").metrics[0].n == 12
    assert report.arm("best").against_none[0].difference == 100
    assert 0 < report.spent <= report.budget == 4000
    rungs = [[t for t in report.trials if (t.round, t.rung) == (1, r)] for r in (1, 2, 3)]
    assert [len(rung) for rung in rungs] == sorted((len(rung) for rung in rungs), reverse=True)
    assert [rung[0].inputs for rung in rungs] == sorted(rung[0].inputs for rung in rungs)
    lines = (tmp_path / "out" / "held-out" / "best.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == {"input": row("dev", 0)["messages"][0]["content"], "output": "Thai"}
    assert json.loads((tmp_path / "out" / "prompt.json").read_text())["words"] == report.best.words()


def test_what_is_left_after_the_planned_rounds_is_spent_on_untried_neighbours(
    data: Path, tmp_path: Path
) -> None:
    one = {"population": 4, "eta": 2, "rounds": 1, "min_inputs": 3}
    found = run_search(task(data, search=one, budget=20_000), FakeModel(), tmp_path).report
    tried = [(trial.round, trial.candidate) for trial in found.trials]
    assert max(number for number, _ in tried) > 1
    first = {candidate for number, candidate in tried if number == 1}
    assert {candidate for number, candidate in tried if number == 2} - first


@pytest.mark.parametrize(("budget", "winner"), [(10_000, "best"), (200, "best"), (10_000, "challenger")])
def test_few_inputs_do_not_overthrow_what_many_have_shown(
    data: Path, tmp_path: Path, budget: int, winner: str
) -> None:
    wanted = task(data)
    prompter = Prompter(wanted, read_pools(wanted), AnswerBook(FakeModel(), tmp_path / "a.jsonl", 10))
    search = Search(prompter, Ledger(budget))
    good, bad = Candidate(instruction=MAGIC), Candidate(instruction="Say hello.")
    best, challenger = (bad, good) if winner == "challenger" else (good, bad)
    search._judged[best] = 24
    settled = search._settle(best, challenger, 3, 2, 4)
    assert settled == {"best": best, "challenger": challenger}[winner]


@pytest.mark.parametrize("budget", [300, 700, 1500])
def test_no_budget_is_overdrawn_even_where_answers_are_as_long_as_they_may_be(
    data: Path, tmp_path: Path, budget: int
) -> None:
    class Rambler(FakeModel):
        def answer(self, conversations: Any, max_tokens: int, on_answer: Any) -> None:
            for index in range(len(conversations)):
                on_answer(index, " ".join(["word"] * max_tokens))

    report = run_search(task(data, budget=budget), Rambler(), tmp_path).report
    assert 0 < report.spent <= budget
    assert report.best.is_none  # all are equally wrong: the shortest prompt wins
    assert any("input as it is" in note for note in report.notes)


def test_an_interrupted_search_goes_on_and_finds_and_spends_the_same(data: Path, tmp_path: Path) -> None:
    whole = FakeModel()
    expected = run_search(task(data), whole, tmp_path / "whole").report
    with pytest.raises(KeyboardInterrupt):
        run_search(task(data), FakeModel(stop_after=20), tmp_path / "out")
    book = tmp_path / "out" / "answers.jsonl"
    book.write_text(book.read_text() + '{"key": "cut sho')
    second = FakeModel()
    report = run_search(task(data), second, tmp_path / "out").report
    assert len(second.asked) == len(whole.asked) - 20
    assert (report.best, report.spent, report.trials) == (expected.best, expected.spent, expected.trials)
    third = FakeModel()
    run_search(task(data), third, tmp_path / "out")
    assert third.asked == []


def test_a_prompt_is_asked_and_paid_once(tmp_path: Path) -> None:
    model, ledger = FakeModel(), Ledger(100)
    book = AnswerBook(model, tmp_path / "answers.jsonl", 10)
    prompt = fitted(Candidate(), EXAMPLE, [], 1, model.prompt_tokens, None)
    assert book.ask([prompt, prompt], "test", ledger) == ["no idea", "no idea"]
    assert len(model.asked) == ledger.questions == 1
    assert ledger.spent == prompt.tokens + 3
    book.ask([prompt], "test", ledger)
    assert ledger.spent == prompt.tokens + 3


def test_exact_match_forgives_white_space_case_and_a_full_stop() -> None:
    examples = [Example("a", "a", ("Not stated", "unknown"))] * 4
    measure = exact_match([" not  STATED.", "unknown", "not", ""], examples)
    assert measure.value == 50
    found = results(["not stated"] * 4, examples, ["chrf", "exact"], 100, 1)
    assert [f.metric for f in found] == ["chrf", "exact"]
    assert found[1].ci_low == found[1].ci_high == 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["bleuu"]}, "unknown metric 'bleuu'; did you mean 'bleu'"),
        ({"metrics": []}, "metrics"),
        ({"budgett": 3}, "unknown key 'budgett'; did you mean 'budget'"),
        ({"candidates": {"instructons": ["a"]}}, "did you mean 'instructions'"),
        (
            {"candidates": {"demonstrations": [9]}},
            "asks for 9 solved examples, sizes.demonstrations has only 8",
        ),
        ({"candidates": {"instructions": ["{input} {input}"]}}, "at most once"),
    ],
)
def test_a_wrong_task_file_is_named(data: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        task(data, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": "poems"}, r"no rows of task 'poems'; rows there by task: food \(40\)"),
        ({"sizes": {"search": 100, "demonstrations": 8}}, "40 inputs of task 'food'; .* ask for 108"),
        ({"sizes": {"search": 9, "demonstrations": 8, "report": 99}}, "12 held-out inputs .* asks for 99"),
        ({"budget": 50}, "50 forward tokens are too few to compare two candidates on 3 inputs"),
        ({"max_tokens": 200}, "leaves nothing of the context of 200 tokens"),
        ({"context": 12}, "leaves 2 for a prompt"),
        ({"metrics": ["ser"], "rows": "chat", "input": "whole"}, "metric 'ser' cannot be measured"),
    ],
)
def test_what_cannot_be_searched_is_said_before_the_model_is_asked(
    data: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    for split in ("train", "dev"):
        with (data / f"{split}.jsonl").open("a") as stream:
            for number in range(40 if changes.get("rows") == "chat" else 0):
                messages = [
                    {"role": "user", "content": f"hi {number}"},
                    {"role": "assistant", "content": "ho"},
                ]
                stream.write(json.dumps({"task": "chat", "messages": messages}) + "\n")
    model = FakeModel()
    with pytest.raises(EvaluationError, match=message):
        run_search(task(data, **changes), model, tmp_path / "out")
    assert model.asked == []


def test_an_empty_split_and_a_missing_one_are_named(data: Path) -> None:
    (data / "dev.jsonl").write_text("")
    with pytest.raises(EvaluationError, match=r"dev\.jsonl"):
        read_pools(task(data))
    (data / "dev.jsonl").unlink()
    with pytest.raises(EvaluationError, match="no such file"):
        read_pools(task(data))


def test_a_server_that_is_down_and_tokens_without_a_tokenizer() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ClientError, match="is the server up"):
        ServedModel(url)
    model = ServedModel(url, "any")
    assert model.text_tokens("12345678") == 3
    assert model.prompt_tokens([{"role": "user", "content": "12345678"}]) == 6
    assert "estimated" in model.counted


def test_a_server_answers_in_the_order_of_the_questions() -> None:
    answers: dict[int, str] = {}
    with server(["only"]) as (url, _):
        model = ServedModel(url, concurrency=3)
        questions = [[{"role": "user", "content": f"q{number}"}] for number in range(5)]
        model.answer(questions, 8, lambda index, text: answers.update({index: text}))
    assert answers == {number: f"echo: q{number}" for number in range(5)}
    assert model.name == f"only at {url}"


def test_the_command_wants_one_model(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluation", "prompt-search", "--output", str(tmp_path)])
    with pytest.raises(EvaluationError, match="give one of --model-dir"):
        app()
