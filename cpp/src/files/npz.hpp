// NumPy's .npz archives: arrays by name, read without unpickling (numpy.lib.format, versions 1 and 2).
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// The arrays of a file by name.
///
/// An array in Fortran order is turned into C order. Code::bundle: not such a file, truncated, an object array, or
/// larger than `most_bytes` in all; Code::out_of_memory.
Expected<std::map<std::string, Tensor>> read_npz(const std::filesystem::path& file,
                                                 std::uint64_t most_bytes = std::uint64_t{4} << 30);

}  // namespace edgekit
