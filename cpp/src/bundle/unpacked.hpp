// The temporary folder that a single file is unpacked into.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "edgekit/status.hpp"

namespace edgekit {

/// A new folder below the machine's temporary one, removed with this object, whatever has been written into it so far.
class Unpacked {
 public:
  static Expected<std::unique_ptr<Unpacked>> make();
  ~Unpacked();
  Unpacked(const Unpacked&) = delete;
  Unpacked& operator=(const Unpacked&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }

  /// A file that did not exist, open for writing, in folders that are made for it; give the handle to finish().
  ///
  /// @param inside its path, without "..". Code::bundle: it cannot have this name; else as refused() of text.hpp.
  Expected<int> create(std::string_view inside);
  Status write(int handle, const void* bytes, std::size_t count);
  Status finish(int handle);

 private:
  Unpacked() = default;
  Status make_folder(const std::string& path);

  std::filesystem::path path_;
  std::vector<std::string> made_;  ///< files and folders in their order: removing them needs no memory
};

}  // namespace edgekit
