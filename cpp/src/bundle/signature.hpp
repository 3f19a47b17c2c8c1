// Ed25519 signatures over a bundle's manifest, which in turn hashes every file (RFC 8032).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "edgekit/status.hpp"

namespace edgekit {

/// Whether the holder of the public key in the PEM file `trusted` signed `content`.
///
/// @param signature what signature.json holds; none: there is no such file.
/// @param place of the bundle, in errors.
/// @return Code::bundle: not signed, damaged, or signed by somebody else; Code::invalid_argument: `trusted` is no PEM
///         file of an Ed25519 public key.
Status check_signature(std::string_view content, const std::optional<std::string>& signature,
                       const std::filesystem::path& trusted, const std::string& place);

}  // namespace edgekit
