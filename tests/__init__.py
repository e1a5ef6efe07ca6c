"""Tests in layers: unit, integration with real servers, end to end, load; `fakes` are shared by all."""
