"""What is measured, once: metric names, the SLO file, the request event, logs and traces.

Importing the package loads nothing; each module loads only what it needs.
"""
