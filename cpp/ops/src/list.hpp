// Every operator, each made once a process.
#pragma once

#include <onnxruntime_c_api.h>

namespace edgekit::ops {

const OrtCustomOp* lut_operator(const OrtApi& api);
const OrtCustomOp* conv_operator(const OrtApi& api);
const OrtCustomOp* depthwise_operator(const OrtApi& api);
const OrtCustomOp* resize_operator(const OrtApi& api);
const OrtCustomOp* resize_to_float_operator(const OrtApi& api);

}  // namespace edgekit::ops
