"""Distillation: the sliced loss against autograd, a frozen teacher, and the teacher's answers made once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.fixtures.tiny_training import pairs, tiny_model, write_data, write_tokenizer
from training.distillation.loss import Distillation, distillation_sum
from training.distillation.sequences import Question, TeacherAnswers, best_of, read_questions
from training.distillation.settings import AnswersConfig
from training.examples import ChatTokenizer, ExamplesError
from training.generate import Answer
from training.loop import next_token_loss
from training.loss import IGNORED
from training.packing import Group, PackedData

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_loss_and_gradients_equal_those_of_the_textbook_formula(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.distillation.loss.SLICE_POSITIONS", 7)  # several slices
    torch.manual_seed(0)
    hidden, output = torch.randn(20, 8, requires_grad=True), torch.randn(30, 8, requires_grad=True)
    taught, teacher_output = torch.randn(20, 12), torch.randn(30, 12)
    targets = torch.randint(0, 30, (20,))
    targets[::3] = IGNORED
    temperature = 2.5

    kept = targets != IGNORED
    logits = hidden[kept] @ output.t()
    soft = F.log_softmax((taught[kept] @ teacher_output.t()) / temperature, -1)
    divergence = F.kl_div(
        F.log_softmax(logits / temperature, -1), soft, reduction="sum", log_target=True
    ) * temperature**2  # fmt: skip
    expected = share * divergence + (1 - share) * F.cross_entropy(logits, targets[kept], reduction="sum")
    wanted = torch.autograd.grad(expected, [hidden, output])

    loss = distillation_sum(hidden, output, taught, teacher_output, targets, temperature, share)
    got = torch.autograd.grad(loss, [hidden, output])
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_a_student_that_is_its_teacher_has_nothing_to_learn_from_it() -> None:
    teacher, student = tiny_model(), tiny_model()
    tokens = np.arange(10, 30, dtype=np.int32)
    packed = PackedData([Group(tokens[:5], (tokens[5:],), ("a",))], 32, 1, seed=0)
    batch = packed.batch(packed.epoch(0))
    objective = Distillation(teacher, temperature=2.0, share=1.0)
    assert objective(student.train(), batch).item() == pytest.approx(0, abs=1e-3)
    assert all(not parameter.requires_grad for parameter in teacher.parameters())
    # The dev loss is that of every other job.
    student.eval()
    assert objective(student, batch).item() == next_token_loss(student, batch).item() > 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distillation")
    write_tokenizer(write_data(folder / "data", pairs()), folder / "tokenizer")
    return folder / "data"


def test_questions_are_distinct_and_keep_their_references(data: Path) -> None:
    questions = read_questions(data / "train.jsonl")
    inputs = [question.messages[0]["content"] for question in questions]
    assert len(set(inputs)) == len(inputs) <= 20
    assert sum(len(question.references) for question in questions) == 60


def test_a_split_without_answers_has_nothing_to_ask(data: Path, tmp_path: Path) -> None:
    write_data(tmp_path / "texts", [{"id": "a", "text": "Some text."}])
    with pytest.raises(ExamplesError, match="nothing to ask the teacher"):
        read_questions(tmp_path / "texts" / "train.jsonl")


def test_answers_are_made_once_and_in_parts_that_survive(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import training.distillation.sequences as sequences

    monkeypatch.setattr(sequences, "_PART", 4)
    asked: list[int] = []
    real = sequences.answer

    def counting(questions: list[Question], *rest: object) -> list[str | None]:
        asked.append(len(questions))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(questions, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(sequences, "answer", counting)
    questions = read_questions(data / "train.jsonl")[:10]
    teacher, tokenizer = tiny_model(), ChatTokenizer(data.parent / "tokenizer")
    settings = AnswersConfig(candidates=3, temperature=1.0)
    store = TeacherAnswers(tmp_path / "teacher", {"teacher": "x"})
    with pytest.raises(KeyboardInterrupt):
        store.make(questions, teacher, tokenizer, settings, seed=1)
    assert not store.path.exists()
    store.make(questions, teacher, tokenizer, settings, seed=1)
    assert asked == [4, 4, 4, 2]
    rows = [json.loads(line) for line in store.path.read_text().splitlines()]
    assert [row["messages"][0]["content"] for row in rows] == [q.messages[0]["content"] for q in questions]
    store.make(questions, teacher, tokenizer, settings, seed=1)
    assert len(asked) == 4

    whole = TeacherAnswers(tmp_path / "whole", {"teacher": "x"})
    whole.make(questions, teacher, tokenizer, settings, seed=1)
    assert whole.path.read_text() == store.path.read_text()
    TeacherAnswers(tmp_path / "teacher", {"teacher": "y"}).make(
        questions, teacher, tokenizer, settings, seed=1
    )
    assert len(asked) == 10


def test_the_kept_candidate_is_the_likeliest_or_the_closest(data: Path) -> None:
    tokenizer = ChatTokenizer(data.parent / "tokenizer")
    texts = ["Saltmarsh is a Thai place.", "For Greek food go to Tin Roof."]
    sampled = [
        Answer(ids.tolist(), [log_prob] * len(ids), True)
        for ids, log_prob in zip(tokenizer.encode(texts), (-0.5, -0.1), strict=True)
    ]
    likeliest = best_of(sampled, texts[:1], tokenizer, AnswersConfig(candidates=2))
    closest = best_of(sampled, texts[:1], tokenizer, AnswersConfig(candidates=2, keep="closest"))
    assert (likeliest, closest) == (sampled[1], sampled[0])
