// Descriptions of tensors, views of them, and one that owns its memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "edgekit/status.hpp"

namespace edgekit {

/// Element types, under NumPy's names.
enum class DType : std::uint8_t {
  float32,
  float64,
  float16,
  int8,
  uint8,
  int16,
  uint16,
  int32,
  uint32,
  int64,
  uint64,
  boolean
};

/// Bytes of one element.
std::size_t size_of(DType dtype) noexcept;
/// NumPy's name, such as "float32"; "bool" for boolean.
const char* name_of(DType dtype) noexcept;
/// The dtype of NumPy's name.
Expected<DType> dtype_of(std::string_view name);

/// Sizes of up to eight dimensions, outermost first; a value, without an allocation.
class Shape {
 public:
  static constexpr std::size_t most = 8;  ///< dimensions
  Shape() = default;
  /// At most eight sizes.
  Shape(std::initializer_list<std::int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
  /// More than eight dimensions are an error of the caller.
  explicit Shape(std::span<const std::int64_t> sizes);

  /// How many dimensions.
  std::size_t rank() const noexcept { return rank_; }
  /// Axis below rank().
  std::int64_t operator[](std::size_t axis) const { return sizes_[axis]; }
  /// Axis below rank().
  std::int64_t& operator[](std::size_t axis) { return sizes_[axis]; }
  /// Of the sizes.
  const std::int64_t* begin() const noexcept { return sizes_.data(); }
  /// Of the sizes.
  const std::int64_t* end() const noexcept { return sizes_.data() + rank_; }
  /// Product of the sizes; 1 of a scalar, -1 if a size is not known (negative) or the product overflows.
  std::int64_t elements() const noexcept;
  /// Same rank and sizes.
  bool operator==(const Shape& other) const noexcept;
  /// "[1, 3, 384, 640]"; an unknown size is "?".
  std::string text() const;

 private:
  std::array<std::int64_t, most> sizes_{};
  std::size_t rank_ = 0;
};

/// Name, shape and dtype of an input or output; a size of -1 is dynamic.
struct TensorSpec {
  std::string name;              ///< of the input or output
  Shape shape;                   ///< outermost size first
  DType dtype = DType::float32;  ///< of the elements

  /// Whether a tensor of this shape and dtype is one of these.
  bool fits(const Shape& other, DType of) const noexcept;
  /// "image: float32[1, 3, 384, 640]"
  std::string text() const;
};

/// Somebody else's contiguous memory, C order; valid as long as its owner says.
struct TensorView {
  const void* data = nullptr;    ///< the first element
  Shape shape;                   ///< outermost size first
  DType dtype = DType::float32;  ///< of the elements

  /// Of all elements; the shape is known.
  std::size_t bytes() const noexcept { return static_cast<std::size_t>(shape.elements()) * size_of(dtype); }
  /// The elements, which are of type T.
  template <class T>
  std::span<const T> as() const noexcept {
    return {static_cast<const T*>(data), static_cast<std::size_t>(shape.elements())};
  }
};

/// Owns contiguous memory aligned to 64 bytes, which it keeps when it shrinks.
class Tensor {
 public:
  Tensor() = default;
  /// Makes room; allocates only when it has less than that. What it held is lost.
  Status resize(const Shape& shape, DType dtype);

  /// Valid until the next resize.
  TensorView view() const noexcept { return {memory_.get(), shape_, dtype_}; }
  /// Of the last resize.
  const Shape& shape() const noexcept { return shape_; }
  /// Of the last resize.
  DType dtype() const noexcept { return dtype_; }
  /// Of its elements.
  std::size_t bytes() const noexcept { return view().bytes(); }
  /// Null before the first resize.
  void* data() noexcept { return memory_.get(); }
  /// Null before the first resize.
  const void* data() const noexcept { return memory_.get(); }
  /// The elements, which are of type T.
  template <class T>
  std::span<T> as() noexcept {
    return {static_cast<T*>(data()), static_cast<std::size_t>(shape_.elements())};
  }

 private:
  struct Free {
    void operator()(void* memory) const noexcept;
  };
  std::unique_ptr<void, Free> memory_;
  std::size_t capacity_ = 0;
  Shape shape_{0};
  DType dtype_ = DType::float32;
};

}  // namespace edgekit
