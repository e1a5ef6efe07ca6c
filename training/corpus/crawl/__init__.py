"""A polite crawler for one site: robots.txt, a pace, bounds, and a state from which it goes on."""
