"""From attributes to a text: choose what goes together, choose an opening, say the rest.

The steps are those of a classic text generator (Reiter and Dale, 2000): content ordering, aggregation, lexical choice,
referring expressions, surface form. Every choice is drawn from `rng`, so a seed fixes the text.
"""

from __future__ import annotations

from random import Random
from typing import Literal

from training.data.generator.phrases import (
    AREAS,
    LOCATED,
    LOCATED_CLAUSES,
    NEARBY,
    Phrases,
    phrases_for,
)
from training.data.generator.venues import Attributes

Style = Literal["plain", "one sentence", "several sentences"]

_NEUTRAL_HEADS = ("place", "venue", "spot", "establishment")
_FACTS = ("customer rating", "priceRange", "familyFriendly", "food")
_ADJECTIVE_ORDER = {key: index for index, key in enumerate(_FACTS)}


def write(rng: Random, venue: Attributes, style: Style = "plain") -> str:
    """A description that states every attribute of `venue` once."""
    return _Writer(rng, venue, style).text()


class _Writer:
    """Writes one text. `facts` and `places` hold what has not been said yet."""

    def __init__(self, rng: Random, venue: Attributes, style: Style) -> None:
        self.rng = rng
        self.venue = venue
        self.style = style
        self.name = venue.get("name")
        self.kind = venue.get("eatType")
        self.head = self.kind or rng.choice(_NEUTRAL_HEADS)
        self.facts = [key for key in _FACTS if key in venue]
        rng.shuffle(self.facts)
        self.places = [key for key in ("area", "near") if key in venue]

    def text(self) -> str:
        sentences = [self._opening()]
        while self.facts or self.places:
            sentences.append(self._follow_up())
        return " ".join(_sentence(s) for s in sentences)

    # -- the first sentence ----------------------------------------------------------------------------

    def _opening(self) -> str:
        openings = [self._is_a, self._there_is, self._apposition, self._place_first, self._invitation]
        weights = [5, 3, 3, 3 if self.places else 0, 2]
        if self.name is None:
            openings, weights = [self._there_is, self._nameless], [2, 2]
        elif self.kind is None and (self.facts or self.places):
            openings.append(self._name_does)
            weights.append(6)
        return self.rng.choices(openings, weights)[0]()

    def _is_a(self) -> str:
        """The Heron is a cheap pub by the river with a low customer rating."""
        noun, place = self._noun(), self._maybe_place()
        return f"{self.name} is {_with_article(noun)}{place}{self._tail()}{self._rest_of_one_sentence()}"

    def _there_is(self) -> str:
        """There is a cheap pub by the river called The Heron."""
        noun = _with_article(self._noun())
        if self.name is None:
            return f"there is {noun}{self._maybe_place()}{self._tail()}{self._rest_of_one_sentence()}"
        called = self.rng.choice(("called", "named"))
        place = self._maybe_place()
        # A place between noun and name is read more easily than one after the name.
        named = f"{place} {called} {self.name}" if self.rng.random() < 0.5 else f" {called} {self.name}{place}"
        start = self.rng.choice(("there is", "you can visit", "you will find")) if place else "there is"
        return f"{start} {noun}{named}{self._rest_of_one_sentence()}"

    def _apposition(self) -> str:
        """The Heron, a cheap pub by the river, serves Thai food and welcomes families."""
        noun = _with_article(self._noun(leave=1))
        if not (self.facts or self.places):
            return f"{self.name} is {noun}"
        place = self._maybe_place() if self.facts else ""
        return f"{self.name}, {noun}{place}, {self._predicate()}"

    def _place_first(self) -> str:
        """By the river you will find The Heron, a cheap pub."""
        place = self._place()
        noun = _with_article(self._noun())
        middle = self.rng.choice(
            (
                f"you will find {self.name}, {noun}",
                f"there is {noun} called {self.name}",
                f"{self.name} is {noun}",
                f"is {noun} named {self.name}",
            )
        )
        comma = "" if middle.startswith(("is", "you")) else ","
        return f"{place}{comma} {middle}{self._rest_of_one_sentence()}"

    def _invitation(self) -> str:
        """If you are looking for a cheap pub by the river, try The Heron."""
        noun = _with_article(self._noun())
        place = self._maybe_place()
        start = self.rng.choice(
            (
                "if you are looking for {}, try {}", "if you want {}, {} is the one to visit", "for {}, go to {}",
                "looking for {}? Try {}", "if you would like {}, visit {}",
            )
        )  # fmt: skip
        text = start.format(f"{noun}{place}{self._tail()}", self.name)
        if self.style == "one sentence" and (self.facts or self.places):
            text += f", which {self._predicate(everything=True)}"
        return text

    def _name_does(self) -> str:
        """The Heron serves Thai food and welcomes families."""
        return f"{self.name} {self._predicate(everything=self.style == 'one sentence')}"

    def _nameless(self) -> str:
        """This pub serves Thai food and welcomes families."""
        if not (self.facts or self.places):
            return f"this is {_with_article(self.head)}"
        return f"this {self.head} {self._predicate(everything=self.style == 'one sentence')}"

    # -- the sentences after it --------------------------------------------------------------------------

    def _follow_up(self) -> str:
        everything = self.style == "one sentence"
        if not everything and self.rng.random() < 0.3:
            return self._clause("it")
        text = f"{self._subject()} {self._predicate(everything=everything)}"
        if self.style == "plain" and self.facts and self.rng.random() < 0.25:
            text += f", and {self._clause('it')}"
        return text

    def _subject(self) -> str:
        choices = ["it", f"the {self.head}", f"this {self.head}"]
        weights = [6, 2, 1]
        if self.name is not None:
            choices.append(self.name)
            weights.append(1)
        return self.rng.choices(choices, weights)[0]

    def _clause(self, it: str) -> str:
        if self.places and (not self.facts or self.rng.random() < 0.4):
            return self.rng.choice(LOCATED_CLAUSES).replace("{it}", it).format(self._place())
        return self.rng.choice(self._phrases(self.facts.pop()).clauses).replace("{it}", it)

    # -- building blocks -------------------------------------------------------------------------------

    def _noun(self, leave: int = 0) -> str:
        """The noun with up to three adjectives; `leave` facts at least are kept for later."""
        wanted = {"several sentences": 1, "plain": self.rng.choice((0, 1, 1, 2, 2, 3)), "one sentence": 3}[self.style]
        usable = [key for key in self.facts if self._phrases(key).adjectives]
        spare = max(0, len(self.facts) + len(self.places) - leave)
        taken = sorted(usable[: min(wanted, spare)], key=_ADJECTIVE_ORDER.__getitem__)
        for key in taken:
            self.facts.remove(key)
        words = [self.rng.choice(self._phrases(key).adjectives) for key in taken]
        # Food belongs to the noun and takes no comma: "a cheap, family-friendly Thai pub".
        *before, last = [*words, ""] if "food" not in taken else words
        return " ".join(part for part in (", ".join(before), last, self.head) if part)

    def _tail(self) -> str:
        """A phrase behind the noun about one more fact, sometimes."""
        chance = {"several sentences": 0.0, "plain": 0.4, "one sentence": 0.9}[self.style]
        if not self.facts or self.rng.random() >= chance:
            return ""
        return " " + self.rng.choice(self._phrases(self.facts.pop()).tails)

    def _maybe_place(self) -> str:
        chance = 0.35 if self.style == "several sentences" else 0.7
        return f" {self._place()}" if self.places and self.rng.random() < chance else ""

    def _place(self) -> str:
        """Where it is: the area, the neighbour, or both at once."""
        together = len(self.places) == 2 and self.rng.random() < (0.9 if self.style == "one sentence" else 0.7)
        taken = list(self.places) if together else [self.rng.choice(self.places)]
        for key in taken:
            self.places.remove(key)
        parts = [
            self.rng.choice(AREAS[self.venue["area"]]) if key == "area" else self.rng.choice(NEARBY).format(self.venue["near"])
            for key in taken
        ]
        if len(parts) == 2:
            self.rng.shuffle(parts)
            near_first = not parts[0].endswith(AREAS[self.venue["area"]])
            joint = self.rng.choice((" ", ", ") if near_first else (", ", " and ", " "))
            return joint.join(parts)
        return parts[0]

    def _rest_of_one_sentence(self) -> str:
        if self.style != "one sentence" or not (self.facts or self.places):
            return ""
        return f" that {self._predicate(everything=True)}"

    def _predicate(self, everything: bool = False) -> str:
        """One to three verb phrases; all that is left where `everything` must go into this sentence."""
        most = {"several sentences": 1, "plain": 3, "one sentence": 9}[self.style]
        count = len(self.facts) if everything else min(len(self.facts), self.rng.randint(1, most))
        keys = [self.facts.pop() for _ in range(count)]
        # What speaks for and what speaks against stay together, so that one "but" is enough.
        keys.sort(key=lambda key: -self._phrases(key).polarity)
        verbs = [(self.rng.choice(self._phrases(key).verbs), self._phrases(key).polarity) for key in keys]
        if self.places and (everything or not verbs or (self.rng.random() < 0.35 and len(verbs) < 3)):
            located = self.rng.choice(LOCATED).format(self._place())
            verbs.insert(0 if self.rng.random() < 0.5 else len(verbs), (located, 0))
        if everything and self.places:
            verbs.append((self.rng.choice(LOCATED).format(self._place()), 0))
        return _coordinate(verbs)

    def _phrases(self, key: str) -> Phrases:
        return phrases_for(key, self.venue)


def _coordinate(verbs: list[tuple[str, int]]) -> str:
    """Join verb phrases with commas, "and", and "but" where praise turns into blame."""
    texts = [text for text, _ in verbs]
    if len(texts) == 1:
        return texts[0]
    contrast = verbs[-1][1] * verbs[-2][1] < 0
    joint = " but " if contrast else " and "
    return ", ".join(texts[:-1]) + joint + texts[-1]


def _with_article(noun: str) -> str:
    """`noun` with "a" or "an"; "one-star" is the only word of the lexicon pronounced against its spelling."""
    vowel = noun[0].lower() in "aeiou" and not noun.startswith("one")
    return f"{'an' if vowel else 'a'} {noun}"


def _sentence(text: str) -> str:
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else text + "."
