"""Does an engine compute what its typed ONNX file says?"""
