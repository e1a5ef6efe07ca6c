"""Experiments about training itself: scaling laws, memory, cost, and what each hardware switch brings."""
