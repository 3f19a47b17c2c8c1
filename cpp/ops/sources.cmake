# Files of the operators, for the library of the wheel and for libedgekit: absolute paths.
set(EDGEKIT_KERNEL_SOURCES level.cpp lut.cpp conv.cpp conv_scalar.cpp conv_avx_vnni.cpp conv_avx512.cpp conv_neon.cpp depthwise.cpp
  depthwise_x86.cpp depthwise_neon.cpp resize.cpp resize_scalar.cpp resize_x86.cpp resize_neon.cpp)
set(EDGEKIT_OPERATOR_SOURCES kernel.cpp lut_operator.cpp conv_operator.cpp convolutions.cpp depthwise_operator.cpp resize_operator.cpp
  shapes.cpp operators.cpp)
# Each product and each sum is rounded by itself, as in ONNX Runtime.
set(EDGEKIT_KERNEL_OPTIONS -ffp-contract=off)
list(TRANSFORM EDGEKIT_KERNEL_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/src/)
list(TRANSFORM EDGEKIT_OPERATOR_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/src/)
