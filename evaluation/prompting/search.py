"""Successive halving over candidate prompts, in rounds, within a budget of forward tokens.

A round starts from its candidates on few inputs, keeps the best of `eta`, gives those more inputs, and so
on; each rung may spend an equal part of the round's budget (Jamieson and Talwalkar 2015). All candidates of a
rung see the same inputs, and a rung's inputs include those of the rung before. The next round tries the
neighbours of the best, which itself stays in to the last rung: few inputs must not overthrow what many have
shown.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from common.config import StrictModel
from evaluation.errors import EvaluationError
from evaluation.prompting.answers import AnswerBook, Ledger
from evaluation.prompting.candidates import Candidate, neighbours, sample
from evaluation.prompting.examples import Example, Pools
from evaluation.prompting.render import Prompt, fitted
from evaluation.prompting.scores import value
from evaluation.prompting.task import PromptTask


class Trial(StrictModel):
    """One candidate in one rung."""

    candidate: Candidate
    round: int
    rung: int
    inputs: int
    score: float
    """On the search inputs, by the deciding metric; optimistic for the winner, which it was chosen by."""
    tokens: float
    """Mean prompt tokens of an input."""


@dataclass(slots=True)
class Prompter:
    """Renders candidates for examples, once each."""

    task: PromptTask
    pools: Pools
    book: AnswerBook
    _made: dict[tuple[Candidate, str], Prompt] = field(default_factory=dict)

    def prompt(self, candidate: Candidate, example: Example) -> Prompt:
        """The prompt, cut to the context. Raises EvaluationError where the input alone is too long."""
        if (candidate, example.key) not in self._made:
            limits = [limit for limit in (self.task.context, self.book.model.context) if limit is not None]
            room = min(limits) - self.task.max_tokens if limits else None
            self._made[candidate, example.key] = fitted(
                candidate,
                example,
                self.pools.demonstrations,
                self.task.seed,
                self.book.model.prompt_tokens,
                room,
            )
        return self._made[candidate, example.key]

    def prompts(self, candidate: Candidate, examples: Sequence[Example]) -> list[Prompt]:
        """One prompt an example."""
        return [self.prompt(candidate, example) for example in examples]

    def cost(self, candidate: Candidate, example: Example, ledger: Ledger, *, worst: bool) -> int:
        """Forward tokens of asking; nothing where that is paid. The answer is as long as a reference, or at
        worst as long as it may be."""
        prompt = self.prompt(candidate, example)
        if ledger.is_paid(self.book.key(prompt)):
            return 0
        if worst:
            return prompt.tokens + self.task.max_tokens + 1
        lengths = [self.book.model.text_tokens(reference) for reference in example.references[:3]]
        return prompt.tokens + min(self.task.max_tokens, round(sum(lengths) / len(lengths)))


class Search:
    """The search for one task; `run` does it."""

    def __init__(self, prompter: Prompter, ledger: Ledger) -> None:
        self.task, self._inputs = prompter.task, prompter.pools.search
        self._prompter, self._ledger = prompter, ledger
        self._rng = random.Random(f"{self.task.seed}/search")
        self.trials: list[Trial] = []
        self.notes: list[str] = []

    def run(self) -> Candidate:
        """The best candidate. Raises EvaluationError where the budget does not allow two candidates."""
        settings, best = self.task.search, Candidate()
        for number in range(1, settings.rounds + 1):
            if number == 1:
                field_ = sample(self.task.candidates, settings.population, self._rng)
            else:
                field_ = neighbours(best, self.task.candidates, settings.population, self._rng)
            allowance = self._ledger.left // (settings.rounds - number + 1)
            field_ = self._affordable(field_, allowance, number)
            if len(field_) < 2:
                self.notes.append(
                    f"round {number} of {settings.rounds}: no budget left for another candidate"
                )
                break
            best = self._round(field_, allowance, number)
        return best

    def _round(self, candidates: list[Candidate], allowance: int, number: int) -> Candidate:
        eta, incumbent = self.task.search.eta, candidates[0]
        rungs = max(1, math.ceil(round(math.log(len(candidates), eta), 9)))
        end, seen = self._ledger.spent + allowance, 0
        for rung in range(1, rungs + 1):
            share = (end - self._ledger.spent) // (rungs - rung + 1)
            seen = max(seen, self._reach(candidates, share, first=rung == 1))
            scored = self._score(candidates, seen, number, rung)
            best = next(iter(scored))
            print(
                f"round {number}, rung {rung}: {len(scored)} candidates on {seen} inputs, best "
                f"{self.task.deciding} {scored[best]:.2f} ({best.words()}), {self._ledger.spent:,} of "
                f"{self._ledger.limit:,} forward tokens spent",
                file=sys.stderr,
            )
            candidates = list(scored)[: max(1, math.ceil(len(scored) / eta))]
            if rung < rungs and incumbent not in candidates:
                candidates.append(incumbent)
        return candidates[0]

    def _score(
        self, candidates: Sequence[Candidate], seen: int, number: int, rung: int
    ) -> dict[Candidate, float]:
        """Ask and score on the first `seen` inputs; best first, the shorter prompt where scores are equal."""
        inputs = self._inputs[:seen]
        asked = [prompt for candidate in candidates for prompt in self._prompter.prompts(candidate, inputs)]
        title = f"round {number}, rung {rung}"
        answers = self._prompter.book.ask(asked, title, self._ledger)
        found: dict[Candidate, tuple[float, float]] = {}
        for index, candidate in enumerate(candidates):
            part = slice(index * seen, (index + 1) * seen)
            score, higher = value(answers[part], inputs, self.task.deciding)
            tokens = sum(prompt.tokens for prompt in asked[part]) / seen
            found[candidate] = (-score if higher else score, tokens)
            self.trials.append(
                Trial(candidate=candidate, round=number, rung=rung, inputs=seen, score=score, tokens=tokens)
            )
        order = sorted(found, key=lambda candidate: found[candidate])
        scores = {trial.candidate: trial.score for trial in self.trials[-len(candidates) :]}
        return {candidate: scores[candidate] for candidate in order}

    def _reach(self, candidates: Sequence[Candidate], share: int, *, first: bool) -> int:
        """How many inputs the candidates can be judged by for `share` tokens, never beyond the budget."""
        expected = worst = 0
        for count, example in enumerate(self._inputs):
            for candidate in candidates:
                expected += self._prompter.cost(candidate, example, self._ledger, worst=False)
                worst += self._prompter.cost(candidate, example, self._ledger, worst=True)
            must = first and count < self.task.search.min_inputs
            if worst > self._ledger.left or (expected > share and not must):
                return count
        return len(self._inputs)

    def _affordable(self, candidates: list[Candidate], allowance: int, number: int) -> list[Candidate]:
        """As many of the candidates as can be judged by `min_inputs` inputs.

        Raises EvaluationError where that is not even two in the first round.
        """
        few = self._inputs[: self.task.search.min_inputs]
        chosen: list[Candidate] = []
        total = 0
        for candidate in candidates:
            cost = sum(self._prompter.cost(candidate, example, self._ledger, worst=True) for example in few)
            if total + cost > min(allowance, self._ledger.left):
                break
            chosen.append(candidate)
            total += cost
        if len(chosen) < 2 and number == 1:
            two = sum(
                self._prompter.cost(candidate, example, self._ledger, worst=True)
                for candidate in candidates[:2]
                for example in few
            )
            raise EvaluationError(
                f"budget: {self._ledger.limit:,} forward tokens are too few to compare two candidates on "
                f"{len(few)} inputs in {self.task.search.rounds} rounds; that takes up to "
                f"{two * self.task.search.rounds:,}: raise budget, or lower search.min_inputs, search.rounds "
                "or max_tokens"
            )
        if len(chosen) < len(candidates):
            self.notes.append(
                f"round {number}: the budget allowed {len(chosen)} of {len(candidates)} candidates on "
                f"{len(few)} inputs each"
            )
        return chosen
