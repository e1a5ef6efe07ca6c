"""From attributes to a text: an opening, then sentences until everything is said.

The steps are those of a classic text generator (Reiter and Dale, 2000): content ordering, aggregation,
lexical choice, referring expressions, surface form. Every choice is drawn from `rng`, so a seed fixes the
text.
"""

from __future__ import annotations

from random import Random

from training.data.generator.draft import Draft, Style
from training.data.generator.openings import opening
from training.data.generator.phrases import LOCATED_CLAUSES
from training.data.generator.venues import Attributes


def write(rng: Random, venue: Attributes, style: Style = "plain") -> str:
    """A description that states every attribute of `venue` once."""
    draft = Draft(rng, venue, style)
    sentences = [opening(draft)]
    named_before = True
    while not draft.done:
        sentence, named_before = _next_sentence(draft, named_before)
        sentences.append(sentence)
    return " ".join(_finish(sentence) for sentence in sentences)


def _next_sentence(draft: Draft, named_before: bool) -> tuple[str, bool]:
    """The next sentence, and whether its subject is the name (which two sentences running do not repeat)."""
    rng = draft.rng
    if rng.random() < 0.3:
        return _clause(draft), False
    subjects, weights = ["it", f"the {draft.head}", f"this {draft.head}"], [6.0, 2.0, 1.0]
    if draft.name is not None and not named_before:
        subjects.append(draft.name)
        weights.append(1.5)
    subject = rng.choices(subjects, weights)[0]
    text = f"{subject} {draft.predicate()}"
    if draft.style == "plain" and draft.facts and rng.random() < 0.25:
        text += f", and {_clause(draft)}"
    return text, subject == draft.name


def _clause(draft: Draft) -> str:
    """One fact or place as a sentence of its own."""
    if draft.places and (not draft.facts or draft.rng.random() < 0.4):
        return draft.rng.choice(LOCATED_CLAUSES).replace("{it}", "it").format(draft.place())
    return draft.rng.choice(draft.phrases(draft.facts.pop()).clauses).replace("{it}", "it")


def _finish(text: str) -> str:
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else text + "."
