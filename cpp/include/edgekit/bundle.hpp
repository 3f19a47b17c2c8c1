// A bundle, checked before anything in it is loaded.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "edgekit/engine.hpp"
#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

struct Contents;  // src/bundle/contents.hpp

/// How to open a bundle.
struct BundleOptions {
  /// PEM file of the Ed25519 public key whose holder must have signed the bundle; none: signatures are not looked at.
  std::optional<std::filesystem::path> trusted_key;
};

/// An opened bundle: a folder, or a single .edgekit file, which is unpacked to a temporary folder that goes with it.
class Bundle {
 public:
  /// Checks manifest, sizes, hashes, and the signature when asked, and reads what the bundle says of itself.
  ///
  /// Code::bundle: not a bundle; a file is missing, added, a link, truncated or edited; a member of a single file is
  /// outside, twice, unknown or larger than the manifest says (nothing is written then); not signed by that key.
  static Expected<Bundle> open(const std::filesystem::path& path, const BundleOptions& options = {});

  Bundle(Bundle&&) noexcept;
  Bundle& operator=(Bundle&&) noexcept;
  ~Bundle();

  const std::filesystem::path& path() const noexcept;  ///< the folder, of a single file the one it was unpacked to
  const std::string& name() const noexcept;            ///< model and target, "camvid-seg-cpu"
  const std::string& digest() const noexcept;          ///< its identity: SHA-256 over the manifest
  const std::string& precision() const noexcept;       ///< of the candidate
  const std::string& backend() const noexcept;         ///< "ort", "trt"
  /// How the target wants it to run.
  const EngineOptions& engine_options() const noexcept;
  /// Of the network.
  std::span<const TensorSpec> inputs() const noexcept;
  /// Of the network.
  std::span<const TensorSpec> outputs() const noexcept;
  /// Names of the class ids; empty: the task has none.
  std::span<const std::string> classes() const noexcept;
  /// Kind of the task, "segmentation".
  const std::string& task() const noexcept;

  /// The library's own.
  const Contents& contents() const noexcept;

  /// The engine of a role ("candidate" or "control"), loaded.
  ///
  /// Code::bundle: it was built for another machine or runtime (names both sides and the command that rebuilds it), or
  /// there is no such role; else as Backend::open.
  Expected<std::unique_ptr<Engine>> engine(std::string_view role = "candidate") const;

 private:
  struct State;
  explicit Bundle(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace edgekit
