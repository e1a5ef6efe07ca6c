"""One metric family a file; each gives `Measure`s: additive statistics per input and how to combine them."""
