# ONNX Runtime: the folder ONNXRUNTIME_ROOT (include/ and lib/, as its releases have them), or where the system has it.
# Defines ONNXRuntime::ONNXRuntime. cpp/tools/onnxruntime_root.sh makes such a folder of a Python wheel.
set(ONNXRUNTIME_ROOT "$ENV{ONNXRUNTIME_ROOT}" CACHE PATH "folder with include/ and lib/ of ONNX Runtime")
find_path(ONNXRuntime_INCLUDE_DIR onnxruntime_cxx_api.h
  HINTS ${ONNXRUNTIME_ROOT} PATH_SUFFIXES include include/onnxruntime onnxruntime onnxruntime/core/session)
find_library(ONNXRuntime_LIBRARY onnxruntime HINTS ${ONNXRUNTIME_ROOT} PATH_SUFFIXES lib)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ONNXRuntime REQUIRED_VARS ONNXRuntime_LIBRARY ONNXRuntime_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "name its folder with -DONNXRUNTIME_ROOT=FOLDER (cpp/tools/onnxruntime_root.sh makes one)")
if(ONNXRuntime_FOUND AND NOT TARGET ONNXRuntime::ONNXRuntime)
  add_library(ONNXRuntime::ONNXRuntime UNKNOWN IMPORTED)
  set_target_properties(ONNXRuntime::ONNXRuntime PROPERTIES IMPORTED_LOCATION ${ONNXRuntime_LIBRARY})
  target_include_directories(ONNXRuntime::ONNXRuntime SYSTEM INTERFACE ${ONNXRuntime_INCLUDE_DIR})
endif()
mark_as_advanced(ONNXRuntime_INCLUDE_DIR ONNXRuntime_LIBRARY)
