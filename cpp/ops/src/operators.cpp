#include "operators.hpp"

#include "kernel.hpp"
#include "list.hpp"

namespace edgekit::ops {
namespace {

/// The operators, for every session of the process: nothing is made anew, so nothing grows.
OrtCustomOpDomain* made_domain(const OrtApi& api) {
  OrtCustomOpDomain* made = nullptr;
  require(api.CreateCustomOpDomain(domain, &made));
  for (const OrtCustomOp* one : {lut_operator(api), conv_operator(api), depthwise_operator(api), resize_operator(api),
                                 resize_to_float_operator(api)})
    require(api.CustomOpDomain_Add(made, one));
  return made;
}

}  // namespace
}  // namespace edgekit::ops

OrtStatus* ORT_API_CALL RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* api = base->GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    const std::string told = "edgekit-ops needs ONNX Runtime 1." + std::to_string(ORT_API_VERSION) +
                             " or newer; this is " + base->GetVersionString();
    return base->GetApi(1)->CreateStatus(ORT_NOT_IMPLEMENTED, told.c_str());
  }
  return edgekit::ops::guarded(*api, [&] {
    static OrtCustomOpDomain* const made = edgekit::ops::made_domain(*api);
    edgekit::ops::require(api->AddCustomOpDomain(options, made));
  });
}

int edgekit_ops_version() { return edgekit::ops::version; }
