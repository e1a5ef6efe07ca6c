"""Small things every room needs: errors, strict configuration, atomic files, command lines, processes.

Imports nothing of ours and nothing heavy, so that the edge runtime can use it too.
"""

import os

# GNU OpenMP reads this once, when torch is loaded, so it is set before any room's own imports. By default a
# thread that waits for the others spins for milliseconds; where anything else wants a core (a server beside
# its load generator), each wait then costs a time slice: training fell from 10,900 to 700 tokens/s beside
# one busy process. 5,000 spins (some 20 microseconds) cost 4 % on an idle machine.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")
