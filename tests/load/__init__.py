"""The load harness: Locust, an open-loop schedule, streaming clients, and a verdict on the client itself.

`python -m tests.load run --scenario FILE --url URL --model ID --output DIR`. See README.md beside this file.
"""
