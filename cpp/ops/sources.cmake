# Files of the operators, for the library of the wheel and for libedgekit: absolute paths.
set(EDGEKIT_KERNEL_SOURCES level.cpp lut.cpp conv.cpp conv_scalar.cpp conv_avx_vnni.cpp conv_avx512.cpp conv_neon.cpp depthwise.cpp
  depthwise_x86.cpp depthwise_neon.cpp)
set(EDGEKIT_OPERATOR_SOURCES kernel.cpp lut_operator.cpp conv_operator.cpp convolutions.cpp depthwise_operator.cpp operators.cpp)
list(TRANSFORM EDGEKIT_KERNEL_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/src/)
list(TRANSFORM EDGEKIT_OPERATOR_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/src/)
