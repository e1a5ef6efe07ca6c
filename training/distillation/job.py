"""`python -m training distil`: teacher and student on our own loop; the student is an ordinary run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from common.errors import ConfigError
from common.files import sha256_file
from training import hardware
from training.config import CONFIGS, resolve_model
from training.distillation.loss import Distillation
from training.distillation.sequences import TeacherAnswers, read_questions
from training.distillation.settings import DistilConfig
from training.examples import ChatTokenizer, Examples, read_answers
from training.job import finished_result, identity_of, run_task, summary
from training.layout import load_model, model_folder
from training.loop import Objective, next_token_loss
from training.measure import Technique, describe, measure
from training.model import Llama
from training.outcome import NAME as OUTCOME
from training.prepare import Reader, Task

_LABELS = {
    "logits": "Distilled, logits",
    "sequence": "Distilled, teacher's answers",
    "none": "Student without teacher",
}


def distil(settings: DistilConfig) -> dict[str, Any]:
    """Run the job; returns its result. What is done already (answers, training, scores) is not done again."""
    teacher = model_folder(settings.teacher)
    tokenizer = ChatTokenizer(settings.tokenizer or teacher)
    start = student_folder(settings.student)
    identity = identity_of("distil", settings, tokenizer.folder, start)
    identity |= {
        "teacher_sha256": sha256_file(teacher / "model.safetensors"), "start": str(start) if start else None
    }  # fmt: skip
    result = finished_result(settings, identity)
    if result is None:
        (settings.output / OUTCOME).unlink(missing_ok=True)  # of an earlier run with other settings
        result = _train(settings, identity, teacher, tokenizer, start)
        print(summary(result, settings.output))
    else:
        print(f"already done: {summary(result, settings.output)}")
    if not (settings.output / OUTCOME).is_file():
        technique = Technique(f"distil-{settings.mode}", _LABELS[settings.mode], "distillation")
        details: dict[str, float | str] = {"teacher": str(settings.teacher), "mode": settings.mode}
        if settings.mode == "logits":
            details |= {"temperature": settings.temperature, "share": settings.share}
        print(describe(measure(settings.output, technique, inputs=settings.quality_inputs, details=details)))
    return result


def student_folder(student: Any) -> Path | None:
    """The model folder that a student starts from, or None where it starts at random."""
    if not isinstance(student, str) or (CONFIGS / f"model-{student}.yaml").is_file():
        return None
    return model_folder(Path(student)) if Path(student).is_dir() else None


def _train(
    settings: DistilConfig, identity: dict[str, Any], teacher: Path, tokenizer: ChatTokenizer,
    start: Path | None,
) -> dict[str, Any]:  # fmt: skip
    hardware.set_threads(settings.threads)
    device = hardware.choose_device()
    student = _student(settings, tokenizer, start)
    read: Reader = read_answers
    objective: Objective = next_token_loss
    if settings.mode == "sequence":
        read = _reading(_teacher_answers(settings, identity, load_model(teacher).to(device), tokenizer))
    elif settings.mode == "logits":
        guide = load_model(teacher).to(device, hardware.choose_dtype(settings.precision))
        _check_vocabularies(settings, guide, student)
        objective = Distillation(guide, settings.temperature, settings.share)
    return run_task(Task("distil", settings, tokenizer, student, read, objective), identity)


def _student(settings: DistilConfig, tokenizer: ChatTokenizer, start: Path | None) -> Llama:
    if start:
        return load_model(start, settings.dropout)
    torch.manual_seed(settings.seed)
    return Llama(resolve_model(settings.student), tokenizer.vocabulary, settings.dropout)


def _check_vocabularies(settings: DistilConfig, teacher: Llama, student: Llama) -> None:
    """Logits can be compared only token by token. Raises ConfigError."""
    theirs, ours = teacher.embedding.num_embeddings, student.embedding.num_embeddings
    if theirs != ours:
        raise ConfigError(
            f"student {settings.student}: has {ours} token ids, the teacher {theirs}; they need the same "
            "tokenizer (mode: sequence works with any)"
        )


def _teacher_answers(
    settings: DistilConfig, identity: dict[str, Any], teacher: Llama, tokenizer: ChatTokenizer
) -> Path:
    decides = ("teacher_sha256", "data_sha256", "tokenizer_sha256", "answers", "seed")
    store = TeacherAnswers(settings.output / "teacher", {key: identity[key] for key in decides})
    questions = read_questions(settings.data / "train.jsonl")
    return store.make(questions, teacher, tokenizer, settings.answers, settings.seed)


def _reading(answers: Path) -> Reader:
    """A reader that takes the teacher's answers for the training split, and the data's own dev split."""

    def read(path: Path, tokenizer: ChatTokenizer, row_tokens: int) -> Examples:
        return read_answers(answers if path.name == "train.jsonl" else path, tokenizer, row_tokens)

    return read
