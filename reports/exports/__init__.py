"""A plan for other tools: annotated ONNX, one sub-model per segment, settings files, a profile of the simulated run."""
