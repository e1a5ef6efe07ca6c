"""Slot error rate: does a text say what the attribute list asks, all of it and nothing else?"""
