"""`python -m evaluation prompt-search`: search, then report the found prompt on held-out inputs."""

from __future__ import annotations

import json
import resource
from dataclasses import dataclass
from pathlib import Path

from common.files import atomic_write
from evaluation.errors import EvaluationError
from evaluation.prompting.answers import AnswerBook, Ledger
from evaluation.prompting.candidates import Candidate
from evaluation.prompting.examples import Pools, read_pools
from evaluation.prompting.models import PromptModel
from evaluation.prompting.report import Arm, SearchReport
from evaluation.prompting.scores import differences, results
from evaluation.prompting.search import Prompter, Search
from evaluation.prompting.task import PromptTask

ANSWERS = "answers.jsonl"
HELD_OUT = "held-out"
REPORT = "report.json"
PROMPT = "prompt.json"


@dataclass(frozen=True, slots=True)
class Found:
    """The report and what it was made from."""

    report: SearchReport
    pools: Pools
    answers: dict[str, list[str]]
    """Arm → one answer a held-out input."""


def run_search(task: PromptTask, model: PromptModel, output: Path) -> Found:
    """Search and report; writes `prompt.json`, `report.json`, the held-out answers and, as it goes,
    `answers.jsonl` into `output`.

    Started again after an interruption it goes on: answers on disk are not asked for again. Raises
    EvaluationError for rows, budget, context or server that do not do.
    """
    pools = read_pools(task)
    # Metrics that these inputs do not allow are found out now, not after the search.
    results([example.references[0] for example in pools.report], pools.report, task.metrics, 0, task.seed)
    _check_answers_fit(task, model)
    book = AnswerBook(model, output / ANSWERS, task.max_tokens)
    prompter, ledger = Prompter(task, pools, book), Ledger(task.budget)
    search = Search(prompter, ledger)
    best = search.run()
    arms, answers = report_arms(task, prompter, best)
    notes = list(search.notes)
    if best.is_none:
        notes.append("no candidate did better on the search inputs than the input as it is")
    report = SearchReport(
        task=task.model_dump(mode="json"), model=model.name, counted=model.counted, budget=task.budget,
        spent=ledger.spent, questions=ledger.questions, seconds=ledger.seconds,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, best=best,
        arms=arms, trials=search.trials, notes=notes,
    )  # fmt: skip
    found = Found(report, pools, answers)
    write(found, output)
    return found


def report_arms(
    task: PromptTask, prompter: Prompter, best: Candidate
) -> tuple[list[Arm], dict[str, list[str]]]:
    """The found prompt beside those that nobody searched for, on the held-out inputs."""
    answers: dict[str, list[str]] = {}
    arms = []
    for key, (label, candidate) in references(task, best).items():
        prompts = prompter.prompts(candidate, prompter.pools.report)
        answers[key] = prompter.book.ask(prompts, f"held out: {key}")
        tested = [] if key == "none" else differences(
            answers[key], answers["none"], prompter.pools.report, task.metrics, task.resamples, task.seed
        )  # fmt: skip
        count = len(prompts)
        arms.append(Arm(
            key=key, label=label, candidate=candidate,
            metrics=results(answers[key], prompter.pools.report, task.metrics, task.resamples, task.seed),
            against_none=tested, prompt_tokens=sum(p.tokens for p in prompts) / count,
            demonstrations=sum(p.demonstrations for p in prompts) / count,
            cut_inputs=sum(p.is_cut for p in prompts),
            example="\n".join(f"<{m['role']}> {m['content']}" for m in prompts[0].conversation),
        ))  # fmt: skip
    return arms, answers


def references(task: PromptTask, best: Candidate) -> dict[str, tuple[str, Candidate]]:
    """Arm → label and prompt. Beside the best: none, the first instruction of the task file as a person would
    write it, and as many demonstrations as the task file names, without any search."""
    space = task.candidates
    arms = {"none": ("No prompt", Candidate())}
    written = next((text for text in space.instructions if text), None)
    if written is not None:
        arms["written"] = (
            "Written instruction",
            Candidate(instruction=written, separator=space.separators[0]),
        )
    if most := max(space.demonstrations):
        choice, layout = space.choices[0], space.layouts[0]
        few = Candidate(demonstrations=most, choice=choice, layout=layout)
        arms["few-shot"] = (f"Few-shot, {most} examples", few)
    return {**arms, "best": ("Best prompt found", best)}


def write(found: Found, output: Path) -> None:
    """Write `held-out/<arm>.jsonl`, `prompt.json` (the found prompt alone) and `report.json`.

    Answers are one `{"input", "output"}` a line; the input is the user message as the data set has it. Raises
    FileError.
    """
    report = found.report
    for key, answers in found.answers.items():
        pairs = zip(found.pools.report, answers, strict=True)
        lines = (json.dumps({"input": e.key, "output": a}, ensure_ascii=False) + "\n" for e, a in pairs)
        atomic_write(output / HELD_OUT / f"{key}.jsonl", "".join(lines))
    prompt = {
        "task": report.task["name"], "model": report.model, "candidate": report.best.model_dump(),
        "words": report.best.words(), "example": report.arm("best").example,
    }  # fmt: skip
    atomic_write(output / PROMPT, json.dumps(prompt, indent=2, ensure_ascii=False) + "\n")
    atomic_write(output / REPORT, report.model_dump_json(indent=2) + "\n")


def _check_answers_fit(task: PromptTask, model: PromptModel) -> None:
    limits = [limit for limit in (task.context, model.context) if limit is not None]
    if limits and task.max_tokens >= min(limits):
        raise EvaluationError(
            f"max_tokens {task.max_tokens} leaves nothing of the context of {min(limits)} tokens for a "
            "prompt; lower it"
        )
