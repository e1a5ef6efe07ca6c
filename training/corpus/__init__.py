"""Corpora for pretraining: crawl, read, filter, de-duplicate, decontaminate, mix, split, report."""
