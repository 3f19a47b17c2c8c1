#include <filesystem>
#include <memory>

#include "capi/calls.hpp"
#include "capi/handles.hpp"

using edgekit::Bundle;
using edgekit::Code;
using edgekit::capi::fail;
using edgekit::capi::give;
using edgekit::capi::guarded;
using edgekit::capi::taken;
using edgekit::capi::tensor_of;

edgekit_status edgekit_bundle_open(const char* path, const edgekit_bundle_options* options,
                                   edgekit_bundle** bundle) noexcept {
  if (bundle == nullptr) return fail(Code::invalid_argument, "bundle is a null pointer; give a place for the handle");
  *bundle = nullptr;
  return guarded([&]() -> edgekit_status {
    if (path == nullptr) return fail(Code::invalid_argument, "path is a null pointer; name a bundle");
    edgekit::BundleOptions how;
    if (options != nullptr) {
      const edgekit::Expected<edgekit_bundle_options> given = taken(options, "options");
      if (!given) return fail(given.error());
      if (given->trusted_key != nullptr) how.trusted_key = given->trusted_key;
    }
    edgekit::Expected<Bundle> opened = Bundle::open(path, how);
    if (!opened) return fail(opened.error());
    *bundle = std::make_unique<edgekit_bundle>(edgekit_bundle{std::move(*opened)}).release();
    return EDGEKIT_OK;
  });
}

void edgekit_bundle_close(edgekit_bundle* bundle) noexcept { const std::unique_ptr<edgekit_bundle> gone(bundle); }

const char* edgekit_bundle_name(const edgekit_bundle* bundle) noexcept {
  return bundle == nullptr ? "" : bundle->bundle.name().c_str();
}

const char* edgekit_bundle_digest(const edgekit_bundle* bundle) noexcept {
  return bundle == nullptr ? "" : bundle->bundle.digest().c_str();
}

const char* edgekit_bundle_precision(const edgekit_bundle* bundle) noexcept {
  return bundle == nullptr ? "" : bundle->bundle.precision().c_str();
}

const char* edgekit_bundle_backend(const edgekit_bundle* bundle) noexcept {
  return bundle == nullptr ? "" : bundle->bundle.backend().c_str();
}

const char* edgekit_bundle_task(const edgekit_bundle* bundle) noexcept {
  return bundle == nullptr ? "" : bundle->bundle.task().c_str();
}

size_t edgekit_bundle_class_count(const edgekit_bundle* bundle) noexcept {
  return bundle == nullptr ? 0 : bundle->bundle.classes().size();
}

const char* edgekit_bundle_class_name(const edgekit_bundle* bundle, size_t id) noexcept {
  return id < edgekit_bundle_class_count(bundle) ? bundle->bundle.classes()[id].c_str() : "";
}

size_t edgekit_bundle_input_count(const edgekit_bundle* bundle) noexcept {
  return bundle == nullptr ? 0 : bundle->bundle.inputs().size();
}

edgekit_status edgekit_bundle_input(const edgekit_bundle* bundle, size_t index, edgekit_tensor* input) noexcept {
  return guarded([&]() -> edgekit_status {
    const std::size_t count = edgekit_bundle_input_count(bundle);
    if (index >= count) {
      return fail(Code::invalid_argument,
                  "input " + std::to_string(index) + " does not exist; there are " + std::to_string(count));
    }
    const edgekit::TensorSpec& spec = bundle->bundle.inputs()[index];
    return give(tensor_of(spec.name.c_str(), spec.shape, spec.dtype), input, "input");
  });
}
