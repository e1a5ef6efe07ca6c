"""`python -m tests.load run | curve | worker`.

Locust is imported first: it patches the standard library for gevent, which has to happen before anything
else opens a socket.
"""

import locust  # noqa: F401  # isort: skip

from tests.load.cli import main

if __name__ == "__main__":
    main()
