"""How fast each technique's result is served: `python -m training serving`.

One run measures all of a suite in turns, in one process, so that a busy machine hurts all alike, and writes
the figure into every `outcome.json`; the comparison turns it into a cost per million tokens.
"""
