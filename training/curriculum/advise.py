"""What to use when: plain sentences that follow from the figures by rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from common.pages.figures import Criterion, rank, same
from common.pages.words import listing
from training.curriculum.aggregate import Row
from training.curriculum.significance import Paired

FULL = "full"
_SUMMARY = ("Best texts", "Many tasks on one model", "A small model to serve", "Preferences and rewards")
SOFT = ("prompt", "prefix", "ptuning")
"""Techniques that learn virtual tokens in front of the text."""
SOFT_AT_EQUAL_BUDGET = tuple(f"soft-{key}" for key in SOFT)
"""The same, held to the budget of a prompt search (`python -m training prompts compare`)."""

_NAMED = 3
"""As good as the best: so many are named."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The answer for one need."""

    need: str
    question: str
    answer: str
    figure: str = ""
    note: str = ""


class Advisor:
    """Answers from rows, criteria and the comparisons with full fine-tuning."""

    def __init__(
        self, rows: Sequence[Row], criteria: dict[str, Criterion], paired: dict[str, dict[str, Paired]]
    ) -> None:
        self.rows = {row.key: row for row in rows}
        self.criteria = criteria
        self.paired = paired

    def advice(self) -> list[Advice]:
        """One answer per need, in the order in which the page shows them."""
        return [
            self._best("Best texts", "Which technique scores highest?", "bleu"),
            self._best("Nothing left out or made up", "Which has fewest slot errors?", "ser"),
            self._thrift("Little time", "What is fastest among the best?", "whole"),
            self._thrift("Little memory", "What trains in least memory among the best?", "memory"),
            self._adapter(),
            self._lora(),
            self._student(),
            self._alignment(),
            self._prompts(),
        ]

    def summary(self, advice: Sequence[Advice]) -> list[tuple[str, str]]:
        """The page's first sentences: need and answer."""
        return [(f"{item.need}:", f"{item.answer}.") for item in advice if item.need in _SUMMARY]

    def _best(self, need: str, question: str, metric: str) -> Advice:
        ranking = rank(self.criteria[metric])
        if ranking is None:
            return Advice(need, question, "not measured")
        first, rest = ranking.order[0], [key for key in ranking.best if key != ranking.order[0]]
        answer = self._name(first)
        if rest:
            # All are marked in the table; a card that names a dozen says nothing.
            names = self._names(rest) if len(rest) <= _NAMED else f"{len(rest)} others"
            answer += f", not to be told from {names}"
        return Advice(need, question, answer, self._figure(metric, first))

    def _thrift(self, need: str, question: str, key: str) -> Advice:
        """The smallest value of criterion `key` among those that cannot be told from the best in BLEU."""
        ranking, criterion = rank(self.criteria["bleu"]), self.criteria[key]
        known = [name for name in ranking.best if name in criterion.figures] if ranking else []
        if ranking is None or not known:
            return Advice(need, question, "not measured")
        found = min(known, key=lambda name: criterion.figures[name].value)
        figure = f"{criterion.label} {criterion.text(found)}, {self._figure('bleu', found)}"
        best = ranking.order[0]
        note = f"{self._name(best)} takes {criterion.text(best)}." if best not in (found,) else ""
        return Advice(need, question, self._name(found), figure, note)

    def _adapter(self) -> Advice:
        """Among adapters as good as full fine-tuning the one that is smallest to ship."""
        need, question = (
            "Many tasks on one model",
            "Which adapter is as good as full fine-tuning?",
        )
        keys = self._keys("adapter", "bleu")
        if not keys or FULL not in self.criteria["bleu"].figures:
            return Advice(need, question, "not measured")
        equal = [key for key in keys if self._equal_to_full(key)]
        if not equal:
            near = max(keys, key=lambda key: self.criteria["bleu"].figures[key].value)
            short = self._value("bleu", FULL) - self._value("bleu", near)
            return Advice(
                need, question, f"none here; {self._name(near)} comes closest, {short:.1f} BLEU short",
                self._figure("bleu", near),
            )  # fmt: skip
        found = min(equal, key=lambda key: self._value("artifact", key))
        sizes = self.criteria["artifact"]
        return Advice(
            need, question, self._name(found),
            f"{sizes.text(found)} to ship against {sizes.text(FULL)}, {self._figure('bleu', found)}",
            f"As good as full fine-tuning: {self._names(equal)}." if len(equal) > 1 else "",
        )  # fmt: skip

    def _lora(self) -> Advice:
        """LoRA against full fine-tuning in BLEU and slot errors, by the paired test where there is one."""
        need, question = "LoRA or full fine-tuning", "Does LoRA cost quality?"
        if not {"lora", FULL} <= self.criteria["bleu"].figures.keys():
            return Advice(need, question, "not measured")
        share = self.rows["lora"].trainable / self.rows[FULL].trainable
        figure = f"it trains {share:.1%} of the parameters; {self._figure('bleu', 'lora')}"
        tested = {key: self.paired.get("lora", {}).get(key) for key in ("bleu", "ser")}
        found = {self.criteria[key].label: (key, made) for key, made in tested.items() if made}
        if not found:
            answer = "no difference can be told" if self._equal_to_full("lora") else "yes"
            return Advice(need, question, answer, figure, "By the intervals; no answers for a paired test.")
        told = [
            f"{self._direction(*test)} by {label}" for label, test in found.items() if test[1].significant
        ]
        differences = "; ".join(f"{label} {paired_words(made)}" for label, (_, made) in found.items())
        answer = listing(told) if told else "no difference can be told"
        return Advice(need, question, answer, figure, f"LoRA less full: {differences}.")

    def _direction(self, metric: str, found: Paired) -> str:
        return "better" if (found.difference > 0) == self.criteria[metric].higher_is_better else "worse"

    def _student(self) -> Advice:
        """The best distilled student against the same student without a teacher."""
        need, question = "A small model to serve", "Does a teacher help the small model?"
        keys = self._keys("distillation", "bleu")
        alone = "distil-none"
        taught = [key for key in keys if key != alone]
        if not taught:
            return Advice(need, question, "not measured")
        best = max(taught, key=lambda key: self._value("bleu", key))
        row, figure = self.rows[best], self._figure("bleu", best)
        size = f"{row.total / 1e6:.1f} M parameters"
        if alone not in keys:
            return Advice(
                need,
                question,
                f"{self._name(best)}, {size}",
                figure,
                "There is no student alone.",
            )
        gain = self._value("bleu", best) - self._value("bleu", alone)
        equal = same(self.criteria["bleu"].figures[best], self.criteria["bleu"].figures[alone])
        answer = f"{self._name(best)}: {gain:+.1f} BLEU against the student alone"
        note = "The intervals overlap: the gain cannot be told from none." if equal else ""
        return Advice(need, question, answer, f"{size}, {figure}", note)

    def _alignment(self) -> Advice:
        """Those whose win rate over their start model is above one half for sure."""
        need, question = "Preferences and rewards", "Does alignment beat the model it starts from?"
        rates = self.criteria["win_rate"]
        if not rates.figures:
            return Advice(need, question, "not measured")
        lows = {key: figure.ci95[0] for key, figure in rates.figures.items()}
        sure = [key for key, low in lows.items() if low is not None and low > 0.5]
        order = sorted(rates.figures, key=lambda key: -rates.figures[key].value)
        figure = "; ".join(
            f"{self._name(key)} {rates.text(key)} ({rates.short_detail(key)})" for key in order[:3]
        )
        judges = sorted({str(self.rows[key].first.details.get("judge", "")) for key in rates.figures} - {""})
        note = f"Judge: {listing(judges)}, on dev inputs; ties count half." if judges else ""
        if not sure:
            return Advice(need, question, "none for sure: every interval reaches 50 %", figure, note)
        sure.sort(key=order.index)
        return Advice(need, question, f"{self._names(sure)}: above 50 % with 95 % confidence", figure, note)

    def _prompts(self) -> Advice:
        """Learnt prompts against written ones, where both were measured."""
        need, question = "Soft prompt or prompt engineering", "Learn the prompt or search for it?"
        known = self.criteria["bleu"].figures
        soft = [key for key in SOFT_AT_EQUAL_BUDGET if key in known] or [key for key in SOFT if key in known]
        hard = [key for key in self._keys("prompting", "bleu") if key not in SOFT_AT_EQUAL_BUDGET]
        if not soft:
            return Advice(need, question, "not measured")
        best = max(soft, key=lambda key: self._value("bleu", key))
        figure = self._figure("bleu", best)
        if not hard:
            return Advice(
                need, question, f"of soft prompts {self._name(best)}; no search was measured", figure,
                "A prompt search joins this page by writing an outcome of the family prompting.",
            )  # fmt: skip
        other = max(hard, key=lambda key: self._value("bleu", key))
        figures = self.criteria["bleu"].figures
        tie = same(figures[best], figures[other])
        winner = best if figures[best].value > figures[other].value else other
        answer = "no difference can be told" if tie else self._name(winner)
        return Advice(need, question, answer, f"{figure}; {self._name(other)} {self._figure('bleu', other)}")

    def _equal_to_full(self, key: str) -> bool:
        """By the paired test where there is one, else by overlapping intervals; better counts as equal."""
        found = self.paired.get(key, {}).get("bleu")
        if found is not None:
            return not found.significant or found.difference > 0
        figures = self.criteria["bleu"].figures
        return same(figures[key], figures[FULL]) or figures[key].value > figures[FULL].value

    def _keys(self, family: str, metric: str) -> list[str]:
        figures = self.criteria[metric].figures
        return [key for key, row in self.rows.items() if row.family == family and key in figures]

    def _value(self, criterion: str, key: str) -> float:
        return self.criteria[criterion].figures[key].value

    def _figure(self, metric: str, key: str) -> str:
        criterion = self.criteria[metric]
        detail = criterion.short_detail(key)
        return f"{criterion.label} {criterion.text(key)}" + (f" ({detail})" if detail else "")

    def _name(self, key: str) -> str:
        return self.rows[key].label

    def _names(self, keys: Sequence[str]) -> str:
        return listing([self._name(key) for key in keys])


def paired_words(found: Paired) -> str:
    """`+0.8 BLEU [-0.4, 1.9], p = 0.21`."""
    interval = "" if found.low is None else f" [{found.low:+.2f}, {found.high:+.2f}]"
    return (
        f"{found.difference:+.2f}{interval}, p = {found.p:.3f}, adjusted {found.adjusted:.3f}, n = {found.n}"
    )
