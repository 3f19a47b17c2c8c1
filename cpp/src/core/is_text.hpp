// Comparing JSON with text where there may be no memory.
#pragma once

#include <string>
#include <string_view>

namespace edgekit {

/// Whether a JSON value is this text. The library's own `==` makes a JSON string of the text in a function that is
/// noexcept, which ends the process where there is no memory for it.
template <class Json>
bool is_text(const Json& value, std::string_view text) noexcept {
  const auto* said = value.template get_ptr<const std::string*>();
  return said != nullptr && *said == text;
}

}  // namespace edgekit
