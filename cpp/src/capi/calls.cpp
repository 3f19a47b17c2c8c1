#include "capi/calls.hpp"

#include <algorithm>

namespace edgekit::capi {
namespace {

struct Words {
  char text[2048] = "";
};

thread_local Words last;

/// Where a text of UTF-8 can be cut so that `most` bytes are not exceeded.
std::size_t cut(std::string_view text, std::size_t most) noexcept {
  if (text.size() <= most) return text.size();
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return end;
}

}  // namespace

edgekit_status fail(Code code, std::string_view message) noexcept {
  const std::size_t length = cut(message, sizeof last.text - 1);
  std::copy_n(message.data(), length, last.text);
  last.text[length] = '\0';
  return static_cast<edgekit_status>(code);
}

edgekit_tensor tensor_of(const char* name, const Shape& shape, DType dtype) noexcept {
  edgekit_tensor made = EDGEKIT_INIT(edgekit_tensor);
  made.name = name;
  made.dtype = static_cast<std::int32_t>(dtype);
  made.rank = static_cast<std::int32_t>(shape.rank());
  std::copy(shape.begin(), shape.end(), made.shape);
  return made;
}

edgekit_tensor tensor_of(const char* name, const TensorView& view) noexcept {
  edgekit_tensor made = tensor_of(name, view.shape, view.dtype);
  made.data = view.data;
  made.bytes = view.bytes();
  return made;
}

}  // namespace edgekit::capi

namespace {

using edgekit::Code;

static_assert(edgekit::Shape::most == EDGEKIT_MOST_DIMENSIONS);
static_assert(static_cast<int>(edgekit::DType::boolean) == EDGEKIT_BOOL);
static_assert(static_cast<int>(Code::invalid_argument) == EDGEKIT_INVALID_ARGUMENT);
static_assert(static_cast<int>(Code::bundle) == EDGEKIT_BUNDLE);
static_assert(static_cast<int>(Code::unsupported) == EDGEKIT_UNSUPPORTED);
static_assert(static_cast<int>(Code::missing_requirement) == EDGEKIT_MISSING_REQUIREMENT);
static_assert(static_cast<int>(Code::frame) == EDGEKIT_FRAME);
static_assert(static_cast<int>(Code::tensor) == EDGEKIT_TENSOR);
static_assert(static_cast<int>(Code::engine) == EDGEKIT_ENGINE);
static_assert(static_cast<int>(Code::out_of_memory) == EDGEKIT_OUT_OF_MEMORY);
static_assert(static_cast<int>(Code::not_ready) == EDGEKIT_NOT_READY);
static_assert(static_cast<int>(Code::timeout) == EDGEKIT_TIMEOUT);

}  // namespace

uint32_t edgekit_abi_version(void) noexcept { return EDGEKIT_ABI_VERSION; }

const char* edgekit_version(void) noexcept { return EDGEKIT_VERSION; }

const char* edgekit_status_name(edgekit_status status) noexcept { return edgekit::name_of(static_cast<Code>(status)); }

const char* edgekit_last_error(void) noexcept { return edgekit::capi::last.text; }
