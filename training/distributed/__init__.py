"""Training on several workers: data parallel, fully sharded, pipelined, and asynchronous, on Ray."""
