// Between NumPy and tensors: views in, arrays that own their memory out, errors as edgekit's exceptions.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "edgekit/frame.hpp"
#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit::python {

namespace nb = nanobind;

/// Any array of the host.
using AnyArray = nb::ndarray<nb::ro, nb::device::cpu>;
/// One whose elements lie row by row; another one is copied into this form.
using RowArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

/// Raises the exception of edgekit.core.errors that belongs to the code; the GIL is held.
[[noreturn]] void raise(const Error& error);

template <class T>
T taken(Expected<T> expected) {
  if (!expected) raise(expected.error());
  return *std::move(expected);
}
inline void check(const Status& status) {
  if (!status) raise(status.error());
}

/// What an array holds, without a copy; `name` is for errors.
TensorView view_of(const RowArray& array, std::string_view name);

/// The image in an array, without a copy: (H, W) or (H, W, C), rows may be padded, of nv12 and nv21 (H * 3 / 2, W).
/// Code::frame: the array does not have the form of the encoding.
Expected<Frame> frame_of(const AnyArray& image, Encoding encoding);

/// An array over memory that belongs to `owner`, which lives as long as the array does.
template <class T>
nb::object array_of(const void* data, const Shape& shape, DType dtype, const std::shared_ptr<T>& owner);

/// Copies of tensors, which are used again once Python has let go of all of them.
using Copies = std::vector<Tensor>;

/// Makes what Python may hold, and gives out again what it holds no longer: a steady loop allocates nothing.
template <class T>
class Pool {
 public:
  std::shared_ptr<T> take() {
    for (std::shared_ptr<T>& one : kept_) {
      if (one.use_count() != 1) continue;
      std::atomic_thread_fence(std::memory_order_acquire);  // pairs with the release of the last holder
      return one;
    }
    if (kept_.size() == most) kept_.erase(kept_.begin());
    return kept_.emplace_back(std::make_shared<T>());
  }

 private:
  static constexpr std::size_t most = 4;
  std::vector<std::shared_ptr<T>> kept_;
};

/// (name, shape with None for an unknown size, dtype) as edgekit.core.tensors.TensorSpec.
nb::object specs_of(std::span<const TensorSpec> specs);
/// The other way round.
std::vector<TensorSpec> specs_from(nb::handle specs);
/// {name: array} over `copies`, in the order of `specs`.
nb::dict arrays_of(std::span<const TensorSpec> specs, const std::shared_ptr<Copies>& copies);
/// Copies views; Code::out_of_memory.
Status copy(std::span<const TensorView> views, Copies& copies);

nb::object array_over(const void* data, const Shape& shape, DType dtype, nb::handle owner);

template <class T>
nb::object array_of(const void* data, const Shape& shape, DType dtype, const std::shared_ptr<T>& owner) {
  const nb::capsule capsule(new std::shared_ptr<T>(owner),
                            [](void* held) noexcept { delete static_cast<std::shared_ptr<T>*>(held); });
  return array_over(data, shape, dtype, capsule);
}

}  // namespace edgekit::python
