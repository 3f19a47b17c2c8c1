#include <array>
#include <string>

#include "edgekit/engine.hpp"

namespace edgekit {

#ifdef EDGEKIT_WITH_ONNXRUNTIME
extern const Backend onnxruntime_backend;
#endif
#ifdef EDGEKIT_WITH_OPENVINO
extern const Backend openvino_backend;
#endif
#ifdef EDGEKIT_WITH_TENSORRT
extern const Backend tensorrt_backend;
#endif

std::span<const Backend> backends() noexcept {
  static const std::vector<Backend> all{
#ifdef EDGEKIT_WITH_ONNXRUNTIME
      onnxruntime_backend,
#endif
#ifdef EDGEKIT_WITH_OPENVINO
      openvino_backend,
#endif
#ifdef EDGEKIT_WITH_TENSORRT
      tensorrt_backend,
#endif
  };
  return all;
}

Expected<const Backend*> backend(std::string_view name) {
  // edgekit's name of engines that its own C++ runtime runs: ONNX Runtime's, see cpp/python.
  if (name == "native") name = "ort";
  std::string built;
  for (const Backend& one : backends()) {
    if (one.name == name) return &one;
    built += (built.empty() ? "" : ", ") + std::string(one.name);
  }
  return Error{Code::unsupported, "this build has no backend '" + std::string(name) + "'; it has " +
                                      (built.empty() ? "none" : built) +
                                      ": build it with the one that the bundle names"};
}

}  // namespace edgekit
