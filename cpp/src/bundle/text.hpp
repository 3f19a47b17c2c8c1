// Words of error messages, as the Python side writes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <system_error>

#include "edgekit/status.hpp"

namespace edgekit {

/// In quotation marks and without control characters, as Python's repr() of a str.
std::string quoted_name(std::string_view text);
/// As Python's repr() of a JSON value: None, True, 'text', [1, 2].
std::string python_repr(const nlohmann::json& value);
/// With a comma between groups of three digits: "16,777,216".
std::string with_commas(std::uint64_t number);

/// Whether a path inside a bundle stays there: it is relative, and has no "..".
bool stays_inside(std::string_view path);

/// The machine's refusal of a file: Code::out_of_memory, Code::bundle if it is not there, else
/// Code::missing_requirement.
/// `what` begins the message, "cannot be read".
Error refused(const std::filesystem::path& file, std::string_view what, std::error_code reason);

}  // namespace edgekit
