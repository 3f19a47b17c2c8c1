// Numbers in messages, as Python writes them.
#pragma once

#include <array>
#include <cstdio>
#include <string>

namespace edgekit {

/// Python's f"{value:.3g}".
inline std::string short_number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3g", value);
  return text.data();
}

}  // namespace edgekit
