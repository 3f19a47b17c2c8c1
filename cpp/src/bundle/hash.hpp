// SHA-256 of bytes and of files.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "edgekit/status.hpp"

namespace edgekit {

/// Hexadecimal digits, lower case. Code::out_of_memory.
Expected<std::string> sha256(std::string_view bytes);

/// Of a file's content, read in blocks.
///
/// Code::bundle: it is no plain file, or a link; else as refused() of text.hpp.
Expected<std::string> sha256_file(const std::filesystem::path& file);

/// A whole file of up to `most` bytes; links are followed. Code::bundle: it is larger or no plain file; else as
/// refused() of text.hpp.
Expected<std::string> read_text(const std::filesystem::path& file, std::uint64_t most);

}  // namespace edgekit
