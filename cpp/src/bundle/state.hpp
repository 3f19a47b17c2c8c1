// What an opened bundle holds.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bundle/contents.hpp"
#include "bundle/manifest.hpp"
#include "bundle/unpacked.hpp"
#include "edgekit/bundle.hpp"

namespace edgekit {

struct Bundle::State {
  std::filesystem::path given;         ///< what was opened
  std::unique_ptr<Unpacked> unpacked;  ///< of a single file
  std::filesystem::path path;
  std::string name;
  std::string digest;
  std::string task;
  Contents contents;
  std::vector<std::string> classes;

  Status open(const BundleOptions& options);

 private:
  Status open_folder(const BundleOptions& options);
  Status open_file(const BundleOptions& options);
  /// Of a folder whose manifest is known, and signed where that was asked.
  Status fill(Manifest manifest);
};

/// "what: why", or the code alone where there is no memory for that.
inline Error failed(Code code, const char* what, const char* why) noexcept {
  Error made{code, {}};
  try {
    made.message = std::string(what) + ": " + why;
  } catch (...) {  // the code says it
  }
  return made;
}

}  // namespace edgekit
