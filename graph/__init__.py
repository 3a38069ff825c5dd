"""What is to be computed: ONNX in and out, types, work per operator, the placed graph and its Plan."""
