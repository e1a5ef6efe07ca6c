"""The edge road: ONNX export, and a small server without torch that batches continuously."""
