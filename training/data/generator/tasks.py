"""Prompts: how a description is asked for, and the small tasks around it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.data.attributes import format_attributes
from training.data.generator.draft import Style
from training.data.generator.venues import Attributes
from training.data.generator.writer import write

_PLAIN_REQUESTS = (
    "Describe this venue.", "Write a description of the venue.", "Turn these facts into a description.",
    "Put the following facts into words.", "Tell me about this place.",
    "Write about the venue with these attributes.",
    "Describe the place below.", "Make a text of these attributes.",
)  # fmt: skip
_SHORT_REQUESTS = (
    "Describe this venue in one sentence.", "Write one sentence about this place.",
    "Give a one-sentence description.",
    "Sum up these facts in a single sentence.", "In one sentence, what is this place?",
)  # fmt: skip
_LONG_REQUESTS = (
    "Describe this venue in short, simple sentences.", "Write a few short sentences about this place.",
    "Describe the venue, one or two facts in each sentence.",
    "Tell me about this place in several sentences.",
)  # fmt: skip
_REQUESTS: dict[Style, tuple[str, ...]] = {
    "plain": _PLAIN_REQUESTS, "one sentence": _SHORT_REQUESTS, "several sentences": _LONG_REQUESTS,
}  # fmt: skip

Pair = tuple[str, str]


def description_prompt(rng: Random, venue: Attributes, instructed: float) -> tuple[str, Style]:
    """The user message that asks for a description, and the style that it asks for."""
    items = list(venue.items())
    if rng.random() < 0.1:
        rng.shuffle(items)
    listing = format_attributes(dict(items))
    if rng.random() >= instructed:
        return listing, "plain"
    style: Style = rng.choices(("plain", "one sentence", "several sentences"), (2, 1, 1))[0]
    return f"{rng.choice(_REQUESTS[style])}\n{listing}", style


def other_task(rng: Random, venue: Attributes) -> tuple[str, Pair]:
    """(task name, (user message, answer)) of a small task about the venue, the kinds in equal shares."""
    makers: list[tuple[str, Callable[[Random, Attributes], Pair]]] = [
        ("extract-attributes", _extract), ("family-question", _family_question), ("fact-question",
        _fact_question),
        ("shorten", _shorten),
    ]  # fmt: skip
    name, maker = rng.choice(makers)
    return name, maker(rng, venue)


def _extract(rng: Random, venue: Attributes) -> Pair:
    request = rng.choice(
        (
            "List the attributes of this text.",
            "Which attributes does the text give?",
            "Extract the facts as attributes.",
        )
    )
    return f"{request}\n{write(rng, venue)}", format_attributes(venue)


def _family_question(rng: Random, venue: Attributes) -> Pair:
    request = rng.choice(
        (
            "Is this place family-friendly? Answer yes, no or not stated.",
            "Can I bring my children? Answer yes, no or not stated.",
        )
    )
    text = format_attributes(venue) if rng.random() < 0.3 else write(rng, venue)
    return f"{request}\n{text}", venue.get("familyFriendly", "not stated")


_QUESTIONS = {
    "food": ("What food is served?", "Which kind of food does the place serve?"),
    "priceRange": ("What is the price range?", "How expensive is it?"),
    "customer rating": ("What is the customer rating?", "How do customers rate the place?"),
    "area": ("In which area is it?", "Which part of town is it in?"),
    "near": ("What is it near?", "Which place is close by?"),
    "eatType": ("What kind of venue is it?", "What type of place is this?"),
    "name": ("What is the name of the venue?", "What is the place called?"),
}


def _fact_question(rng: Random, venue: Attributes) -> Pair:
    # One question in six asks for what the text does not say.
    absent = [key for key in _QUESTIONS if key not in venue]
    present = [key for key in _QUESTIONS if key in venue]
    key = rng.choice(absent) if absent and (not present or rng.random() < 1 / 6) else rng.choice(present)
    request = rng.choice(_QUESTIONS[key])
    return f"{request}\n{write(rng, venue)}", venue.get(key, "not stated")


def _shorten(rng: Random, venue: Attributes) -> Pair:
    request = rng.choice(
        (
            "Rewrite this in one sentence.",
            "Say the same in a single sentence.",
            "Shorten this to one sentence.",
        )
    )
    long_text = write(rng, venue, "several sentences")
    return f"{request}\n{long_text}", write(rng, venue, "one sentence")
