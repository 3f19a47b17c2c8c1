// The words of an error where there may be no memory for words.
#pragma once

#include <new>
#include <string>

#include "edgekit/status.hpp"

namespace edgekit {

/// An error whose message `text()` makes; where memory is short, one whose few words fit into the string itself.
template <class Text>
Error described(Code code, Text text) noexcept {
  try {
    return {code, text()};
  } catch (const std::bad_alloc&) {
    return {Code::out_of_memory, "no memory"};
  }
}

/// The error of a caught std::bad_alloc.
inline Error no_memory(const char* message) noexcept {
  return described(Code::out_of_memory, [message] { return std::string(message); });
}

}  // namespace edgekit
