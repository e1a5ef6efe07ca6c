r"""How the values of the closed slots are said in English, as regular expressions.

Patterns are matched on normalised text (see `matcher.normalise`): lower case, no accents, straight quotes,
number words as digits, hyphens as spaces. `\b` is put around each. A phrase that fits several values
("affordable") lists all of them. A weak phrase can realise a slot that is asked for, but is too vague to
accuse an output of adding or mistaking one ("pasta" for Italian food).

Wording drawn from the training half of the E2E corpus (Novikova et al., 2017); the approach (patterns per
value, verbal ratings for numeric ones) follows Dušek et al. (2019), Semantic Noise Matters for NLG.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Phrase(NamedTuple):
    """A pattern and every value that it can stand for."""

    pattern: re.Pattern[str]
    values: frozenset[str]
    weak: bool = False


def _phrases(values: tuple[str, ...], *patterns: str, weak: bool = False) -> list[Phrase]:
    return [Phrase(re.compile(rf"\b(?:{p})(?!\w)"), frozenset(values), weak) for p in patterns]


# Up to n words between two parts of a phrase, not across a sentence or a comma.
_GAP = r"(?:[ ]+[\w']+){0,3}[ ]+"
_SHORT_GAP = r"(?:[ ]+[\w']+){0,1}[ ]+"

_PRICE = r"(?:price ?ranges?|prices?|priced|pricing|costs?)"
_CHEAP = ("cheap", "less than £20")
_MODERATE = ("moderate", "£20-25")
_HIGH_PRICE = ("high", "more than £30")

_PRICE_PHRASES = [
    *_phrases(("less than £20",), r"(?:less than|lower than|under|below|within|up to|not? (?:more|higher) than|cheaper than|beneath|less then|max(?:imum)?(?: of)?) ?£ ?20(?: £)?", r"£ ?20 (?:or|and) (?:less|under|below)"),
    *_phrases(("£20-25",), r"(?:between )?£ ?20(?: £)? ?(?:-|to|and|through|or) ?£? ?25(?: £)?", r"20 ?(?:-|to|and) ?£? ?25(?: £)?"),
    *_phrases(("more than £30",), r"(?:more than|over|above|higher than|greater than|upwards? of|at least|start(?:s|ing)?(?: at| from)?|exceed(?:s|ing)?|from|more then|excess of|minimum of) ?£ ?30", r"£ ?30 ?(?:\+|plus|(?:or|and) (?:more|up|above|over|higher|upwards?))"),
    *_phrases(_CHEAP, r"cheap(?:er|ly|est)?", r"inexpensive(?:ly)?", rf"low(?:er|est)?{_SHORT_GAP}{_PRICE}", rf"low {_PRICE}", rf"{_PRICE}{_GAP}(?:low|cheap)(?:er)?", r"low cost", r"budget", r"not (?:\w+ )?expensive", r"bargain", r"great value"),
    *_phrases((*_CHEAP, *_MODERATE), r"affordabl[ey]", r"reasonabl[ey]", rf"(?:good|fair|decent){_SHORT_GAP}{_PRICE}", r"well priced", r"good value"),
    *_phrases(_MODERATE, rf"(?:moderate(?:ly)?|mid(?:dle)?|medium|average|averagely|ok|okay|standard){_SHORT_GAP}{_PRICE}", rf"(?:moderate(?:ly)?|mid(?:dle)?|medium|average|averagely) {_PRICE}", r"mid(?:dle)? ?(?:range|priced?)(?: (?:price|priced|prices|pricing))?", rf"{_PRICE}{_GAP}(?:moderate|average|medium|mid(?:dle)?(?: range)?|ok|okay)", r"moderate cost", r"medium range"),
    *_phrases((*_MODERATE, *_HIGH_PRICE), r"not (?:\w+ )?cheap", r"upper (?:mid|middle)", weak=True),
    *_phrases(_HIGH_PRICE, r"expensive(?:ly)?", r"pricey", r"costly", rf"high(?:er|ly|est)?{_SHORT_GAP}{_PRICE}", rf"high(?:er)? {_PRICE}", rf"{_PRICE}{_GAP}(?:high|expensive|higher)", r"high end", r"high cost", r"above average price[ds]?", r"up ?market", r"up ?scale"),
    *_phrases((*_CHEAP, *_MODERATE, *_HIGH_PRICE), r"£ ?(?:20|25|30)", r"range of (?:prices|£)", weak=True),
]  # fmt: skip

_RATING = r"(?:ratings?|rated|rates?|reviews?|reviewed|scor(?:es?|ed)|feedback|stars?|recommend(?:ed|ation)?)"
_LOW = ("low", "1 out of 5")
_AVERAGE = ("average", "3 out of 5")
_HIGH = ("high", "5 out of 5")


def _rating_phrases(values: tuple[str, ...], number: int, words: str) -> list[Phrase]:
    return [
        *_phrases(
            values,
            rf"{number} ?(?:stars?)?(?: ratings?)? ?(?:out|our|of|/|on)(?: of)?(?: a)?(?: possible)? ?5(?: stars?)?",
            rf"{number} stars?", rf"rat(?:ed|ing|ings)(?: \w+){{0,3}} (?:a |an |at |of |is )*{number}(?! out)",
            rf"{number} \w+ rat(?:ed|ing)",
        ),
        *_phrases(
            values,
            rf"(?:{words})(?: customer| user| guest| quality| overall| star| service)*[ ]{_RATING}",
            rf"(?:{words}){_SHORT_GAP}{_RATING}",
            rf"{_RATING}{_GAP}(?:{words})", rf"{_RATING} (?:{words})",
            rf"(?:{words}) (?:by|from|with|among) (?:\w+ )?(?:customers?|guests?|diners|patrons|reviewers)",
            rf"(?:{words}) customer (?:satisfaction|service|opinion|reviews?|ratings?|approval)",
            rf"customer (?:satisfaction|service|opinion|approval)(?: \w+){{0,2}} (?:{words})",
        ),
    ]  # fmt: skip


_RATING_PHRASES = [
    *_rating_phrases(_LOW, 1, r"low(?:er|ly|est)?|poor(?:ly)?|bad(?:ly)?|not (?:so |very |that )?(?:good|well|highly|great)|below average|terrible|negative|n't (?:\w+ )?(?:good|well|highly)"),
    *_rating_phrases(_AVERAGE, 3, r"average(?:ly)?|moderate(?:ly)?|mediocre|medium|ok|okay|fair(?:ly)?|decent(?:ly)?|mid(?:dle)?|satisfactory|middling|mixed"),
    *_rating_phrases(_HIGH, 5, r"high(?:er|ly|est)?|excellent(?:ly)?|great(?:ly)?|top|best|very good|very well|outstanding|perfect|superb|fantastic|exceptional(?:ly)?|amazing|positive(?:ly)?"),
    *_phrases((*_AVERAGE, *_HIGH), rf"(?:good|well){_SHORT_GAP}{_RATING}", rf"(?:good|well) {_RATING}", rf"{_RATING}{_GAP}(?:good|well)"),
    *_phrases(_LOW, r"low quality", r"poor quality", r"low customer", r"not recommended", r"n't recommended", weak=True),
    *_phrases(_AVERAGE, r"average quality", r"average customer", r"is average", r"an average", r"average", weak=True),
    *_phrases(_HIGH, r"high(?:ly)? (?:\w+ )?(?:quality|regarded|recommended|acclaimed|praised|appreciated)", r"top quality", r"high customer", r"highly", r"excellent", r"well (?:liked|loved|regarded|reviewed)", r"popular", weak=True),
]  # fmt: skip

_CHILD = r"(?:child(?:ren)?s?'?|kids?'?|famil(?:y|ies)|families'|family's|youngsters|young(?:er)? (?:children|ones|people)|little ones|all ages?)"
_NOT = r"(?:not|n't|isnt|doesnt|no|non|un|never|nor|neither|without|rather than)"

_FAMILY_PHRASES = [
    *_phrases(("no",), rf"{_NOT}(?: [\w']+){{0,5}} {_CHILD}(?: (?:friendly|oriented|orientated|suitable|welcoming|appropriate|allowed|welcome|permitted))?", rf"{_NOT} {_CHILD}(?: friendly)?", rf"{_CHILD}(?: [\w']+){{0,4}} {_NOT}(?: (?:[\w']+ )?(?:friendly|welcomed?|allowed|permitted|suitable|recommended))?", rf"{_CHILD} ?unfriendly", r"adults?(?: ?only| ?oriented| ?orientated| (?:\w+ )?(?:venue|establishment|place|setting|environment|atmosphere|crowd|clientele|audience|location|friendly|restaurant|pub|coffee shop|dining|customers))", r"(?:only|just|exclusively|strictly|mainly|geared (?:to|towards?)|aimed at|catering (?:to|for)|for|more suited (?:to|for)|suitable for|caters (?:to|for)) (?:the )?(?:\w+ )?(?:adults?|grown ?ups?|older)", rf"unsuitable for {_CHILD}", rf"unfriendly (?:to|for|towards?) (?:\w+ )?{_CHILD}", rf"(?:leave|unwelcoming)(?: [\w']+){{0,3}} {_CHILD}(?: (?:[\w']+ )?at home)?", r"child free", r"kid free", r"family ?unfriendly", r"over 18s?", r"18 ?\+", r"adults", rf"lacks? (?:\w+ )?{_CHILD}"),
    *_phrases(("yes",), rf"{_CHILD}(?: [\w']+){{0,1}} ?(?:friendly|oriented|orientated|friendliness|suitable|based|welcoming|centered|focused)", rf"{_CHILD}(?: [\w']+){{0,4}} (?:welcomed?|allowed|accepted|permitted|enjoy|love|catered)", rf"(?:welcom(?:e|es|ing)|friendly|suitable|good|great|perfect|ideal|fun|open|accommodat(?:es?|ing)|cater(?:s|ing)?|suited|accepts?|allows?|appropriate|fit|nice|friendliness|kind|geared|aimed|safe|fine|accessible|excellent|best|lovely|permits|invites|oriented|entertain(?:s|ing)?|enjoyable)(?: [\w']+){{0,4}} {_CHILD}", rf"(?:for|bring|take)(?: [\w']+){{0,3}} {_CHILD}", rf"{_CHILD}(?: (?:[\w']+ )?(?:restaurant|pub|coffee|venue|place|atmosphere|establishment|environment|dining|eatery|outing|spot|location|food|style|meal|setting|cafe|fun|day out))", r"family"),
    *_phrases(("yes",), rf"{_CHILD}", r"family\w*", r"everyone", weak=True),
]  # fmt: skip

_AREA_PHRASES = [
    *_phrases(("city centre",), r"(?:city|town)'?s? ?'?s? cent(?:re|er|ral)s?", r"cent(?:re|er) of (?:the )?(?:\w+ )?(?:city|town|cambridge)", r"cent(?:re|er) city", r"(?:in|at|near|of|to|from) the (?:\w+ )?cent(?:re|er)", r"heart of (?:the )?(?:city|town)", r"downtown", r"central(?:ly)?(?: (?:located|cambridge|location|area|part))?", r"middle of (?:the )?(?:city|town)", r"inner city", r"mid(?:dle of the)? city"),
    *_phrases(("city centre",), r"cent(?:re|er)", r"in (?:the )?(?:city|town)", r"city", weak=True),
    *_phrases(("riverside",), r"river ?sides?", r"(?:near|by|at|close to|along|on|off|beside|next to|alongside|overlooking|of|from|facing|around|to|in|against) (?:the )?(?:\w+ )?(?:river|rivers edge|waterside|waterfront|water)(?:'?s? ?(?:bank|banks|front|edge|area|side))?", r"river ?(?:front|bank|banks|view|views|area|edge|location)", r"water ?(?:side|front)"),
    *_phrases(("riverside",), r"river", weak=True),
]  # fmt: skip

_FOOD_PHRASES = [
    *_phrases(("Chinese",), r"chinese?", r"china"),
    *_phrases(("English",), r"english", r"british", r"england"),
    *_phrases(("Fast food",), r"fast ?foods?"),
    *_phrases(("French",), r"french"),
    *_phrases(("Indian",), r"indian"),
    *_phrases(("Italian",), r"italian"),
    *_phrases(("Japanese",), r"japanese?"),
    *_phrases(("English",), r"fish and chips", r"traditional", r"full breakfast", r"roast", r"bangers", weak=True),
    *_phrases(("Fast food",), r"burgers?", r"fries", r"fast", r"quick", r"take ?(?:away|out)", weak=True),
    *_phrases(("Italian",), r"pasta", r"pizza", r"spaghetti", weak=True),
    *_phrases(("Japanese",), r"sushi", r"japan", weak=True),
    *_phrases(("Chinese",), r"oriental", r"asian", r"noodles", weak=True),
    *_phrases(("French",), r"france", r"wine", r"escargot", r"croissants?", weak=True),
    *_phrases(("Indian",), r"curry", r"curries", r"india", weak=True),
]  # fmt: skip

_TYPE_PHRASES = [
    *_phrases(("coffee shop",), r"coffee ?(?:shops?|houses?|bars?|places?)", r"cafes?", r"coffees?", r"coffee ?\w+"),
    *_phrases(("pub",), r"pubs?", r"public house", r"tavern", r"gastropub"),
    *_phrases(("pub",), r"bar", r"inn", weak=True),
    # People call any venue a restaurant, asked for or not: no evidence of an added or a wrong type.
    *_phrases(("restaurant",), r"resta?u?ra?u?nts?", r"eatery", r"diner", r"bistro", r"dining", weak=True),
]  # fmt: skip

LEXICON: dict[str, list[Phrase]] = {
    "priceRange": _PRICE_PHRASES,
    "customer rating": _RATING_PHRASES,
    "familyFriendly": _FAMILY_PHRASES,
    "area": _AREA_PHRASES,
    "food": _FOOD_PHRASES,
    "eatType": _TYPE_PHRASES,
}
"""Closed slots. `name` and `near` are open: their values are looked for literally."""
