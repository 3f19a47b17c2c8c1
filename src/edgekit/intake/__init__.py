"""What loading and exporting share: users' code, their state_dicts, outputs and ONNX files."""
