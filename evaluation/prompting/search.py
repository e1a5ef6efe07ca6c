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

_MORE_ROUNDS = 8
"""Most rounds beyond the planned ones."""


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
        self._judged: dict[Candidate, int] = {}
        """Candidate → most inputs that it was judged by."""
        self.trials: list[Trial] = []
        self.notes: list[str] = []

    def run(self) -> Candidate:
        """The best candidate. Raises EvaluationError where the budget does not allow two candidates.

        After the planned rounds further ones spend what is left, as long as there are neighbours to try.
        """
        settings, best, number = self.task.search, Candidate(), 0
        while number < settings.rounds + _MORE_ROUNDS:
            number += 1
            allowance = self._ledger.left // max(1, settings.rounds - number + 1)
            candidates = self._affordable(self._candidates(best, number), allowance, number)
            if len(candidates) < 2:
                if number <= settings.rounds:
                    self.notes.append(f"no budget or nothing to try was left for round {number}")
                break
            best = self._round(candidates, allowance, number)
        return best

    def _candidates(self, best: Candidate, number: int) -> list[Candidate]:
        """Those of a round; the first of them is the best so far."""
        settings = self.task.search
        if number == 1:
            return sample(self.task.candidates, settings.population, self._rng)
        near = neighbours(best, self.task.candidates, self._rng)
        untried = [candidate for candidate in near if candidate not in self._judged]
        return [best, *untried[: settings.population - 1]]

    def _round(self, candidates: list[Candidate], allowance: int, number: int) -> Candidate:
        eta, incumbent = self.task.search.eta, candidates[0]
        rungs = max(1, math.ceil(round(math.log(len(candidates), eta), 9)))
        end, seen = self._ledger.spent + allowance, 0
        for rung in range(1, rungs + 1):
            share = (end - self._ledger.spent) // (rungs - rung + 1)
            reached = self._reach(candidates, share, first=rung == 1)
            if rung > 1 and reached <= seen:
                break  # the same inputs would say the same again
            seen = reached
            candidates = self._score(candidates, seen, number, rung)
            candidates = candidates[: max(1, math.ceil(len(candidates) / eta))]
            if rung < rungs and incumbent not in candidates:
                candidates.append(incumbent)
        return self._settle(incumbent, candidates[0], seen, number, rungs + 1)

    def _settle(
        self, incumbent: Candidate, challenger: Candidate, seen: int, number: int, rung: int
    ) -> Candidate:
        """A challenger that was judged by fewer inputs than the best so far must win on all of them."""
        known = self._judged[incumbent]
        if challenger == incumbent or seen >= known:
            return challenger
        inputs = self._inputs[:known]
        cost = sum(self._prompter.cost(challenger, example, self._ledger, worst=True) for example in inputs)
        if cost > self._ledger.left:
            return incumbent
        return self._score([incumbent, challenger], known, number, rung)[0]

    def _score(self, candidates: Sequence[Candidate], seen: int, number: int, rung: int) -> list[Candidate]:
        """Ask and score on the first `seen` inputs; best first, the shorter prompt where scores are equal."""
        inputs = self._inputs[:seen]
        asked = [prompt for candidate in candidates for prompt in self._prompter.prompts(candidate, inputs)]
        answers = self._prompter.book.ask(asked, f"round {number}, rung {rung}", self._ledger)
        found: dict[Candidate, tuple[float, float]] = {}
        for index, candidate in enumerate(candidates):
            part = slice(index * seen, (index + 1) * seen)
            score, higher = value(answers[part], inputs, self.task.deciding)
            tokens = sum(prompt.tokens for prompt in asked[part]) / seen
            found[candidate] = (-score if higher else score, tokens)
            self._judged[candidate] = max(seen, self._judged.get(candidate, 0))
            self.trials.append(
                Trial(candidate=candidate, round=number, rung=rung, inputs=seen, score=score, tokens=tokens)
            )
        order = sorted(found, key=lambda candidate: found[candidate])
        print(
            f"round {number}, rung {rung}: {len(order)} candidates on {seen} inputs, best "
            f"{self.task.deciding} {abs(found[order[0]][0]):.2f} ({order[0].words()}), "
            f"{self._ledger.spent:,} of {self._ledger.limit:,} forward tokens spent",
            file=sys.stderr,
        )
        return order

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
        if len(chosen) < len(candidates) and number <= self.task.search.rounds:
            self.notes.append(
                f"round {number}: the budget allowed {len(chosen)} of {len(candidates)} candidates on "
                f"{len(few)} inputs each"
            )
        return chosen
