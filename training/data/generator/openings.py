"""First sentences. Each function takes what it says out of the draft and leaves the rest for later."""

from __future__ import annotations

from collections.abc import Callable

from training.data.generator.draft import Draft, with_article

Opening = Callable[[Draft], str]


def opening(draft: Draft) -> str:
    """A first sentence that suits what is known, without its full stop."""
    choices = _choices(draft)
    return draft.rng.choices([function for function, _ in choices], [weight for _, weight in choices])[0](
        draft
    )


def _choices(draft: Draft) -> list[tuple[Opening, float]]:
    if draft.name is None:
        telling = draft.kind or draft.adjectives_left() or draft.places
        return [
            (_there_is, 2 if telling else 0),
            (_nameless, 2 if not draft.done else 0),
            (_what_it_is, 0.01),
        ]
    if draft.done and draft.kind is None:
        return [(_only_a_name, 1)]
    if draft.kind is None and not draft.adjectives_left():
        return [(_name_does, 1)]
    choices: list[tuple[Opening, float]] = [
        (_is_a, 5), (_there_is, 3), (_apposition, 3), (_invitation, 2),
        (_name_does, 6 if draft.kind is None else 0),
    ]  # fmt: skip
    if draft.places:
        choices.append((_place_first, 3))
    if "food" in draft.facts:
        choices.append((_food_first, 1.5))
    if "familyFriendly" in draft.facts:
        choices.append((_family_first, 1.5))
    if {draft.phrases(key).polarity for key in draft.facts} >= {1, -1} and not draft.one_sentence:
        choices.append((_although, 3))
    return choices


def _is_a(draft: Draft) -> str:
    """The Heron is a cheap pub by the river with a low customer rating."""
    text = f"{draft.name} is {draft.noun()}{draft.maybe_place()}{draft.tail()}"
    return text + _rest(draft, " that ")


def _there_is(draft: Draft) -> str:
    """There is a cheap pub by the river called The Heron."""
    noun = draft.noun()
    place = draft.maybe_place()
    if draft.name is None:
        return f"there is {noun}{place}{draft.tail()}" + _rest(draft, " that ")
    start = draft.rng.choice(("there is", "you will find")) if place else "there is"
    called = f" {draft.rng.choice(('called', 'named'))} {draft.name}"
    return f"{start} {noun}{draft.rng.choice((place + called, called + place))}" + _rest(draft, ", which ")


def _apposition(draft: Draft) -> str:
    """The Heron, a cheap pub by the river, serves Thai food and welcomes families."""
    noun = draft.noun(leave=1)
    if draft.done:
        return f"{draft.name} is {noun}"
    place = draft.maybe_place() if draft.facts else ""
    return f"{draft.name}, {noun}{place}, {draft.predicate()}"


def _place_first(draft: Draft) -> str:
    """By the river you will find The Heron, a cheap pub."""
    place = draft.place()
    noun = draft.noun()
    text, joint = draft.rng.choice(
        (
            (f"{place} you will find {draft.name}, {noun}", " that "),
            (f"{place}, there is {noun} called {draft.name}", ", which "),
            (f"{place} is {noun} named {draft.name}", ", which "),
            (f"{place} is {draft.name}, {noun}", " that "),
        )
    )
    return text + _rest(draft, joint)


def _invitation(draft: Draft) -> str:
    """If you are looking for a cheap pub by the river, try The Heron."""
    wish = f"{draft.noun()}{draft.maybe_place()}{draft.tail()}"
    forms = ["if you are looking for {}, try {}", "for {}, go to {}", "if you would like {}, visit {}"]
    if not draft.one_sentence:
        forms += ["looking for {}? Try {}", "if you want {}, {} is the one to visit"]
    return draft.rng.choice(forms).format(wish, draft.name) + _rest(draft, ", which ")


def _food_first(draft: Draft) -> str:
    """Thai food is served at The Heron, a cheap pub by the river."""
    draft.facts.remove("food")
    value = draft.venue["food"]
    food = value.lower() if value in ("Fast food", "Vegetarian") else value
    food = food if value == "Fast food" else f"{food} food"
    noun = _bare_or_noun(draft)
    form = draft.rng.choice(
        ("{} is served at {}", "you can eat {} at {}", "{} is on the menu at {}", "for {}, visit {}")
    )
    return form.format(food, f"{draft.name}{noun}") + _rest(draft, " that " if noun else ", which ")


def _family_first(draft: Draft) -> str:
    """Families are welcome at The Heron, a cheap pub by the river."""
    draft.facts.remove("familyFriendly")
    forms = {
        "yes": (
            "families are welcome at {}",
            "children are welcome at {}",
            "you can bring the whole family to {}",
        ),
        "no": (
            "children are not welcome at {}",
            "families are not welcome at {}",
            "only adults are welcome at {}",
        ),
    }[draft.venue["familyFriendly"]]
    noun = _bare_or_noun(draft)
    return draft.rng.choice(forms).format(f"{draft.name}{noun}") + _rest(
        draft, " that " if noun else ", which "
    )


def _although(draft: Draft) -> str:
    """Although The Heron is expensive, it is highly rated by its customers."""
    good = next(key for key in draft.facts if draft.phrases(key).polarity > 0)
    bad = next(key for key in draft.facts if draft.phrases(key).polarity < 0)
    draft.facts = [key for key in draft.facts if key not in (good, bad)]
    first, second = draft.rng.sample((good, bad), 2)
    verbs = [draft.rng.choice(draft.phrases(key).verbs) for key in (first, second)]
    subject = draft.name if draft.kind is None else f"{draft.name}, {draft.noun()},"
    return f"although {subject} {verbs[0]}, it {verbs[1]}"


def _name_does(draft: Draft) -> str:
    """The Heron serves Thai food and welcomes families."""
    return f"{draft.name} {draft.predicate()}"


def _nameless(draft: Draft) -> str:
    """This pub serves Thai food and welcomes families."""
    return f"this {draft.head} {draft.predicate()}"


def _what_it_is(draft: Draft) -> str:
    """This is a pub."""
    return f"{draft.rng.choice(('this is', 'it is', 'the venue is'))} {draft.noun()}" + _rest(draft, " that ")


def _only_a_name(draft: Draft) -> str:
    """The venue is called The Heron."""
    forms = (
        "{name} is {a_place}", "there is {a_place} called {name}", "there is {a_place} named {name}",
        "the {place} is called {name}", "the name of the {place} is {name}", "this is {name}",
        "{name} is the name of the {place}",
    )  # fmt: skip
    form = draft.rng.choice(forms)
    return form.format(name=draft.name, place=draft.head, a_place=with_article(draft.head))


def _bare_or_noun(draft: Draft) -> str:
    """ ", a cheap pub by the river", or only the place where there is nothing to say about the kind."""
    if draft.kind is None and not draft.adjectives_left():
        return draft.maybe_place()
    return f", {draft.noun()}{draft.maybe_place()}"


def _rest(draft: Draft, joint: str) -> str:
    """In a single sentence, all that is left as a relative clause."""
    return f"{joint}{draft.predicate()}" if draft.one_sentence and not draft.done else ""
