#include "edgekit/tensor.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>

namespace edgekit {
namespace {

struct Named {
  DType dtype;
  const char* name;
  std::size_t size;
};

constexpr std::array<Named, 12> dtypes{{{DType::float32, "float32", 4},
                                        {DType::float64, "float64", 8},
                                        {DType::float16, "float16", 2},
                                        {DType::int8, "int8", 1},
                                        {DType::uint8, "uint8", 1},
                                        {DType::int16, "int16", 2},
                                        {DType::uint16, "uint16", 2},
                                        {DType::int32, "int32", 4},
                                        {DType::uint32, "uint32", 4},
                                        {DType::int64, "int64", 8},
                                        {DType::uint64, "uint64", 8},
                                        {DType::boolean, "bool", 1}}};

constexpr std::size_t alignment = 64;

}  // namespace

std::size_t size_of(DType dtype) noexcept { return dtypes[static_cast<std::size_t>(dtype)].size; }

const char* name_of(DType dtype) noexcept { return dtypes[static_cast<std::size_t>(dtype)].name; }

Expected<DType> dtype_of(std::string_view name) {
  for (const Named& one : dtypes) {
    if (name == one.name) return one.dtype;
  }
  std::string allowed;
  for (const Named& one : dtypes) allowed += (allowed.empty() ? "" : ", ") + std::string(one.name);
  return Error{Code::unsupported, "dtype '" + std::string(name) + "' is not known; expected one of " + allowed};
}

Shape::Shape(std::span<const std::int64_t> sizes) : rank_(sizes.size()) {
  assert(sizes.size() <= most);
  std::copy(sizes.begin(), sizes.end(), sizes_.begin());
}

std::int64_t Shape::elements() const noexcept {
  std::int64_t product = 1;
  for (const std::int64_t size : *this) {
    if (size < 0 || __builtin_mul_overflow(product, size, &product)) return -1;
  }
  return product;
}

bool Shape::operator==(const Shape& other) const noexcept {
  return std::equal(begin(), end(), other.begin(), other.end());
}

std::string Shape::text() const {
  std::string made = "[";
  for (std::size_t axis = 0; axis < rank_; ++axis) {
    if (axis > 0) made += ", ";
    made += sizes_[axis] < 0 ? "?" : std::to_string(sizes_[axis]);
  }
  return made + "]";
}

bool TensorSpec::fits(const Shape& other, DType of) const noexcept {
  return of == dtype && other.rank() == shape.rank() &&
         std::equal(shape.begin(), shape.end(), other.begin(),
                    [](std::int64_t want, std::int64_t have) { return want < 0 ? have >= 0 : want == have; });
}

std::string TensorSpec::text() const { return name + ": " + name_of(dtype) + shape.text(); }

void Tensor::Free::operator()(void* memory) const noexcept { std::free(memory); }

Status Tensor::resize(const Shape& shape, DType dtype) {
  const std::int64_t elements = shape.elements();
  const std::size_t size = size_of(dtype);
  if (elements < 0 || static_cast<std::uint64_t>(elements) > std::numeric_limits<std::int64_t>::max() / size) {
    return Error{Code::invalid_argument, "a tensor of shape " + shape.text() + " has no size"};
  }
  const std::size_t bytes = static_cast<std::size_t>(elements) * size;
  if (bytes > capacity_ || !memory_) {
    const std::size_t room = std::max<std::size_t>(bytes + alignment - 1, alignment) / alignment * alignment;
    memory_.reset();
    capacity_ = 0;
    memory_.reset(std::aligned_alloc(alignment, room));
    if (!memory_) {
      shape_ = Shape{0};
      return Error{Code::out_of_memory, "no memory for a tensor of " + std::to_string(bytes) + " bytes"};
    }
    capacity_ = room;
  }
  shape_ = shape;
  dtype_ = dtype;
  return {};
}

}  // namespace edgekit
