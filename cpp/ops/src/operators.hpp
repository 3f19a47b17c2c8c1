// The operators as ONNX Runtime sees them: domain "edgekit", one version for all of them.
#pragma once

#include <onnxruntime_c_api.h>

namespace edgekit::ops {

/// Version of the domain: what an operator computes, takes or is called never changes without a new one.
inline constexpr int version = 2;

/// The domain of the operators in a model.
inline constexpr const char* domain = "edgekit";

}  // namespace edgekit::ops

#pragma GCC visibility push(default)
extern "C" {

/// Makes the operators known to the sessions of ``options``; ONNX Runtime calls it by this name in a library.
OrtStatus* ORT_API_CALL RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base);

/// edgekit::ops::version, for those who load the library by name.
int edgekit_ops_version(void);
}
#pragma GCC visibility pop
