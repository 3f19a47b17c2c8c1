#include "bundle/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "bundle/json.hpp"

namespace edgekit {

std::string quoted_name(std::string_view text) {
  const char mark = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  std::string made(1, mark);
  for (const char one : text) {
    const auto byte = static_cast<unsigned char>(one);
    if (one == mark || one == '\\') {
      made += {'\\', one};
    } else if (byte < 0x20 || byte == 0x7F) {
      std::array<char, 8> hex{};
      std::snprintf(hex.data(), hex.size(), "\\x%02x", byte);
      made += hex.data();
    } else {
      made += one;
    }
  }
  return made + mark;
}

std::string python_repr(const nlohmann::json& value) {
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_string()) return quoted_name(value.get_ref<const std::string&>());
  if (value.is_number_float()) return python_float(value.get<double>());
  if (!value.is_structured()) return value.dump();
  std::string made = value.is_array() ? "[" : "{";
  for (const auto& [key, item] : value.items()) {
    if (made.size() > 1) made += ", ";
    if (value.is_object()) made += quoted_name(key) + ": ";
    made += python_repr(item);
  }
  return made + (value.is_array() ? "]" : "}");
}

std::string with_commas(std::uint64_t number) {
  std::string made = std::to_string(number);
  for (std::size_t at = made.size(); at > 3;) made.insert(at -= 3, 1, ',');
  return made;
}

bool stays_inside(std::string_view path) {
  if (path.starts_with('/')) return false;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    if (path.substr(start, end - start) == "..") return false;
    start = end + 1;
  }
  return true;
}

Error refused(const std::filesystem::path& file, std::string_view what, std::error_code reason) {
  Code code = Code::missing_requirement;
  if (reason == std::errc::not_enough_memory) code = Code::out_of_memory;
  if (reason == std::errc::no_such_file_or_directory || reason == std::errc::not_a_directory) code = Code::bundle;
  return {code, file.string() + " " + std::string(what) + ": " + reason.message()};
}

}  // namespace edgekit
