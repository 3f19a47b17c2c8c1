"""ONNX Runtime sessions as every part of edgekit opens them: exact sums, no denormals."""
