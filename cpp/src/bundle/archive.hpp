// A bundle as one file.
//
// What an archive says of itself is believed only as far as its manifest agrees: that is read first and alone, and
// nothing else is written before every member is one of its files, no larger than it says.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle/manifest.hpp"
#include "bundle/unpacked.hpp"
#include "edgekit/status.hpp"

namespace edgekit {

/// A single file whose members fit its manifest; nothing is written yet.
class Archive {
 public:
  /// Code::bundle: not a bundle, damaged, or a member is outside, twice, unknown or larger than the manifest says.
  static Expected<Archive> open(const std::filesystem::path& file);
  Archive(Archive&&) noexcept;
  ~Archive();

  const Manifest& manifest() const& noexcept { return manifest_; }
  Manifest manifest() && noexcept { return std::move(manifest_); }
  /// What signature.json holds; none: there is no such member.
  Expected<std::optional<std::string>> signature() const;
  /// All members in a new folder. Code::bundle: one is damaged; then no folder is left.
  Expected<std::unique_ptr<Unpacked>> unpack() const;

 private:
  struct Reader;
  Archive(std::unique_ptr<Reader> reader, Manifest manifest) noexcept;
  std::unique_ptr<Reader> reader_;
  Manifest manifest_;
};

}  // namespace edgekit
