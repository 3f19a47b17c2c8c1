"""ONNX files read and edited without the onnx package: graphs, interfaces, names."""
