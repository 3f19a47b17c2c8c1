// What every function of the C ABI does: guard, remember the error, copy structs that grow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <string_view>
#include <type_traits>

#include "edgekit/edgekit.h"
#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit::capi {

/// Remembers the words for edgekit_last_error() of this thread, cut where they are too long; allocates nothing.
edgekit_status fail(Code code, std::string_view message) noexcept;
inline edgekit_status fail(const Error& error) noexcept { return fail(error.code, error.message); }
inline edgekit_status ended(const Status& status) noexcept { return status ? EDGEKIT_OK : fail(status.error()); }

/// Runs the body of a function. The library's functions throw nothing; strings and vectors made here may.
template <class Work>
edgekit_status guarded(Work&& work) noexcept {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return fail(Code::out_of_memory, "no memory left for this call; the handle can be used on");
  } catch (const std::exception& error) {
    return fail(Code::engine, error.what());
  }
}

/// Bytes that the caller's struct has; 0 of a null pointer.
template <class Struct>
std::size_t size_in(const Struct* given) noexcept {
  std::size_t size = 0;
  if (given != nullptr) std::memcpy(&size, given, sizeof size);
  return size;
}

/// Whether a struct says its size; it has at least `size` and the fields of the first version.
template <class Struct>
Status sized(const Struct* given, std::string_view name) {
  const std::size_t size = size_in(given);
  if (size >= sizeof(Struct)) return {};  // all structs are of the first version: none is shorter
  if (given == nullptr) return Error{Code::invalid_argument, std::string(name) + " is a null pointer"};
  return Error{Code::invalid_argument, std::string(name) + ".size is " + std::to_string(size) + "; expected " +
                                           std::to_string(sizeof(Struct)) + ": set it with EDGEKIT_INIT"};
}

/// A copy of a struct that the caller filled; what a newer caller set beyond it is refused, for it would be ignored.
template <class Struct>
Expected<Struct> taken(const Struct* given, std::string_view name) {
  static_assert(std::is_trivially_copyable_v<Struct>);
  if (Status known = sized(given, name); !known) return known.error();
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t place = sizeof(Struct); place < size_in(given); ++place) {
    if (bytes[place] != 0) {
      return Error{Code::invalid_argument, std::string(name) +
                                               " has fields that this library does not know; it has ABI " +
                                               std::to_string(EDGEKIT_ABI_VERSION)};
    }
  }
  Struct made;
  std::memcpy(&made, given, sizeof made);
  return made;
}

/// Fills a struct of the caller, which keeps its size; fields beyond those known here become zero.
template <class Struct>
edgekit_status give(Struct made, Struct* wanted, std::string_view name) {
  static_assert(std::is_trivially_copyable_v<Struct>);
  if (Status known = sized(wanted, name); !known) return fail(known.error());
  made.size = size_in(wanted);
  std::memcpy(wanted, &made, sizeof made);
  std::memset(reinterpret_cast<unsigned char*>(wanted) + sizeof made, 0, made.size - sizeof made);
  return EDGEKIT_OK;
}

/// The C struct of a tensor; `name` has to stay.
edgekit_tensor tensor_of(const char* name, const Shape& shape, DType dtype) noexcept;
edgekit_tensor tensor_of(const char* name, const TensorView& view) noexcept;

}  // namespace edgekit::capi
