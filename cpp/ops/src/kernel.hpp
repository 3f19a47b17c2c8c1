// What operators have in common: errors as statuses, and the parts of a node that a kernel is made of.
#pragma once

#include <onnxruntime_c_api.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "aligned.hpp"

namespace edgekit::ops {

/// Thrown with a status of ONNX Runtime's, which is handed on to it.
struct Refused {
  OrtStatus* status;
};

inline void require(OrtStatus* status) {
  if (status != nullptr) throw Refused{status};
}

/// Runs what may throw where ONNX Runtime takes a status.
template <typename Body>
OrtStatus* guarded(const OrtApi& api, Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const Refused& refused) {
    return refused.status;
  } catch (const std::exception& error) {
    return api.CreateStatus(ORT_INVALID_ARGUMENT, error.what());
  }
}

/// A constant input of a node, copied.
struct Constant {
  ONNXTensorElementDataType type;
  std::vector<std::int64_t> shape;
  Aligned<std::uint8_t> bytes;
};

/// Size in bytes of the elements that operators take; 0: of another type.
std::size_t size_of(ONNXTensorElementDataType type);

/// What a kernel is made from.
class Node {
 public:
  Node(const OrtApi& api, const OrtKernelInfo* info) : api_(api), info_(info) {}

  std::int64_t integer(const char* name) const;
  float number(const char* name) const;
  Constant constant(std::size_t index) const;

 private:
  const OrtApi& api_;
  const OrtKernelInfo* info_;
};

/// Type and shape of a tensor of a query; the shape keeps its memory.
struct View {
  ONNXTensorElementDataType type{};
  std::vector<std::int64_t> shape;
  std::size_t elements = 0;
};

/// The bytes of input ``index``, described in ``view``.
const std::uint8_t* input(const OrtApi& api, OrtKernelContext* context, std::size_t index, View& view);

/// The bytes of output ``index`` of that shape.
std::uint8_t* output(const OrtApi& api, OrtKernelContext* context, std::size_t index,
                     const std::vector<std::int64_t>& shape);

/// Calls ``body`` for every number below ``total``, on the threads of the session; it must not throw.
template <typename Body>
void parallel(const OrtApi& api, OrtKernelContext* context, std::size_t total, Body& body) {
  if (total == 1) return body(0);
  const auto call = [](void* given, std::size_t index) { (*static_cast<Body*>(given))(index); };
  require(api.KernelContext_ParallelFor(context, call, total, 0, &body));
}

}  // namespace edgekit::ops
