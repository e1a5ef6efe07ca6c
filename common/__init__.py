"""Small things every room needs: errors, strict configuration, atomic files, command lines, processes.

Imports nothing of ours and nothing heavy, so that the edge runtime can use it too.
"""
