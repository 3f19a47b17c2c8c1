// Why a C library failed that does not say so: there may be no memory.
#pragma once

#include <cstddef>
#include <new>

namespace edgekit {

/// Whether a small allocation fails now; asked after a failure, so that it is not taken for a damaged file.
inline bool memory_is_short() noexcept {
  constexpr std::size_t little = 65536;
  void* volatile probe = ::operator new(little, std::nothrow);  // volatile: else it may be left out
  ::operator delete(probe, std::nothrow);
  return probe == nullptr;
}

}  // namespace edgekit
