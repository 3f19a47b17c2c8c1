"""What loading and exporting share: missing files, users' code, their state_dicts, outputs and ONNX files."""
