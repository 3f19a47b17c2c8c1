// Results of the C ABI: views of the C++ ones.
#include <array>

#include "capi/calls.hpp"
#include "capi/handles.hpp"

using edgekit::Code;
using edgekit::Result;
using edgekit::capi::fail;
using edgekit::capi::give;
using edgekit::capi::guarded;
using edgekit::capi::lent;
using edgekit::capi::meant;
using edgekit::capi::tensor_of;

namespace {

static_assert(sizeof(std::array<float, 4>) == 4 * sizeof(float));
static_assert(std::variant_size_v<decltype(Result::value)> == EDGEKIT_SEVERAL + 1);

constexpr std::array<const char*, EDGEKIT_SEVERAL + 1> kinds{
    "nothing", "a label map", "detections", "class scores", "an embedding", "values", "tensors", "several results"};

/// A result as T, or null after remembering what it is instead.
template <class T>
const T* as(const edgekit_result* result, const char* wanted) {
  const T* found = result == nullptr ? nullptr : meant(result)->get<T>();
  if (found == nullptr) {
    const char* kind =
        result == nullptr ? "a null pointer" : kinds[static_cast<std::size_t>(edgekit_result_kind(result))];
    fail(Code::invalid_argument, std::string("the result is ") + kind + ", not " + wanted);
  }
  return found;
}

edgekit_status out_of_range(std::size_t index, std::size_t count, const char* what) {
  return fail(Code::invalid_argument,
              std::string(what) + " " + std::to_string(index) + " does not exist; there are " + std::to_string(count));
}

}  // namespace

int32_t edgekit_result_kind(const edgekit_result* result) noexcept {
  return result == nullptr ? EDGEKIT_NOTHING : static_cast<int32_t>(meant(result)->value.index());
}

edgekit_status edgekit_result_label_map(const edgekit_result* result, edgekit_label_map* map) noexcept {
  return guarded([&]() -> edgekit_status {
    const auto* found = as<edgekit::LabelMap>(result, "a label map");
    if (found == nullptr) return EDGEKIT_INVALID_ARGUMENT;
    return give({sizeof(edgekit_label_map), found->height, found->width, found->labels.data()}, map, "map");
  });
}

edgekit_status edgekit_result_detections(const edgekit_result* result, edgekit_detections* found) noexcept {
  return guarded([&]() -> edgekit_status {
    const auto* all = as<edgekit::Detections>(result, "detections");
    if (all == nullptr) return EDGEKIT_INVALID_ARGUMENT;
    const float* boxes = all->boxes.empty() ? nullptr : all->boxes.front().data();
    return give({sizeof(edgekit_detections), all->boxes.size(), boxes, all->scores.data(), all->labels.data()}, found,
                "found");
  });
}

edgekit_status edgekit_result_floats(const edgekit_result* result, edgekit_floats* floats) noexcept {
  return guarded([&]() -> edgekit_status {
    const bool embedding = edgekit_result_kind(result) == EDGEKIT_EMBEDDING;
    const auto* vector = embedding ? as<edgekit::Embedding>(result, "an embedding") : nullptr;
    const auto* scores = embedding ? nullptr : as<edgekit::ClassScores>(result, "class scores or an embedding");
    if (vector == nullptr && scores == nullptr) return EDGEKIT_INVALID_ARGUMENT;
    const std::vector<float>& values = embedding ? vector->vector : scores->probabilities;
    return give({sizeof(edgekit_floats), values.size(), values.data()}, floats, "floats");
  });
}

edgekit_status edgekit_result_values(const edgekit_result* result, edgekit_values* values) noexcept {
  return guarded([&]() -> edgekit_status {
    const auto* found = as<edgekit::Values>(result, "values");
    if (found == nullptr) return EDGEKIT_INVALID_ARGUMENT;
    return give({sizeof(edgekit_values), found->values.size(), found->values.data()}, values, "values");
  });
}

edgekit_status edgekit_result_tensor(const edgekit_result* result, size_t index, edgekit_tensor* tensor) noexcept {
  return guarded([&]() -> edgekit_status {
    const auto* found = as<edgekit::Tensors>(result, "tensors");
    if (found == nullptr) return EDGEKIT_INVALID_ARGUMENT;
    if (index >= found->tensors.size()) return out_of_range(index, found->tensors.size(), "tensor");
    return give(tensor_of(edgekit_result_name(result, index), found->tensors[index].view()), tensor, "tensor");
  });
}

size_t edgekit_result_count(const edgekit_result* result) noexcept {
  if (result == nullptr) return 0;
  if (const auto* values = meant(result)->get<edgekit::Values>()) return values->values.size();
  if (const auto* tensors = meant(result)->get<edgekit::Tensors>()) return tensors->tensors.size();
  if (const auto* several = meant(result)->get<edgekit::Several>()) return several->parts.size();
  return 0;
}

const char* edgekit_result_name(const edgekit_result* result, size_t index) noexcept {
  if (result == nullptr) return "";
  const auto name = [index](const std::vector<std::string>& names) {
    return index < names.size() ? names[index].c_str() : "";
  };
  if (const auto* values = meant(result)->get<edgekit::Values>()) return name(values->names);
  if (const auto* tensors = meant(result)->get<edgekit::Tensors>()) return name(tensors->names);
  const auto* several = meant(result)->get<edgekit::Several>();
  return several != nullptr && index < several->parts.size() ? several->parts[index].name.c_str() : "";
}

const edgekit_result* edgekit_result_part(const edgekit_result* result, size_t index) noexcept {
  const auto* several = result == nullptr ? nullptr : meant(result)->get<edgekit::Several>();
  return several != nullptr && index < several->parts.size() ? lent(several->parts[index].result) : nullptr;
}
