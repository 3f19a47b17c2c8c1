// A bundle's manifest.json: what it holds, and the checks that it is whole, and was not edited.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "bundle/json.hpp"
#include "edgekit/status.hpp"

namespace edgekit {

inline constexpr std::string_view manifest_file = "manifest.json";
inline constexpr std::string_view signature_file = "signature.json";
/// Bytes of the files that no manifest lists.
inline constexpr std::uint64_t largest_manifest = std::uint64_t{16} << 20;
inline constexpr std::uint64_t largest_signature = std::uint64_t{64} << 10;

struct Manifest {
  JsonDocument document;
  std::string content;  ///< as it is in the file: what a signature is over

  /// The manifest that `content` is; `file` names it in errors.
  ///
  /// Code::bundle: it is damaged, was edited, or is of another kind or version.
  static Expected<Manifest> parse(std::string content, const std::string& file);
  /// Of a bundle's folder. Code::bundle: there is none, or parse() refuses it.
  static Expected<Manifest> read(const std::filesystem::path& folder);

  /// Path inside the bundle to its SHA-256.
  const nlohmann::json& files() const { return document.root["files"]; }
  /// Path inside the bundle to its size in bytes; null: version 1 has none.
  const nlohmann::json* sizes() const;
  const std::string& digest() const { return document.root["digest"].get_ref<const std::string&>(); }
};

/// Code::bundle unless the folder holds the manifest's files, each with its hash, and no others.
Status check_files(const std::filesystem::path& folder, const Manifest& manifest);

}  // namespace edgekit
