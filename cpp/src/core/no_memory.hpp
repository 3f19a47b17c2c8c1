// The error of a caught std::bad_alloc, which is made where memory is gone.
#pragma once

#include <new>

#include "edgekit/status.hpp"

namespace edgekit {

/// `message` as far as there is memory for it; else a word that needs none.
inline Error no_memory(const char* message) noexcept {
  try {
    return {Code::out_of_memory, message};
  } catch (const std::bad_alloc&) {
    return {Code::out_of_memory, "no memory"};  // short enough for the string itself
  }
}

}  // namespace edgekit
