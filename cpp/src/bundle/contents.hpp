// What stands in bundle.json, parsed once: how to feed an engine, and how to read it.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "edgekit/engine.hpp"
#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// One engine of a bundle.
struct EngineFile {
  std::string file;
  std::string precision;
  std::string golden;                        ///< file of its golden arrays
  std::optional<nlohmann::json> preprocess;  ///< of a control whose network a compress step changed
};

/// bundle.json. `preprocess` (by input name) and `task` stay as written: their rooms read them.
struct Contents {
  std::string name;
  std::string target;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  nlohmann::json preprocess;
  nlohmann::json task;
  std::string backend;
  EngineOptions engine;
  EngineFile candidate;
  std::optional<EngineFile> control;
  nlohmann::json device;  ///< of the manifest

  Contents() = default;
  Contents(Contents&&) noexcept = default;
  Contents& operator=(Contents&&) noexcept = default;
  ~Contents();  ///< without an allocation, see dismantle() of json.hpp

  /// From bundle.json; `device` stays empty. `file` names it in errors.
  ///
  /// Code::bundle: a key is missing or unknown, or a value is of another type; Code::unsupported: a dtype, or a tensor
  /// of more dimensions, than this library has. `kpis`, `parity` and `evaluation` are not looked into.
  static Expected<Contents> parse(std::string_view content, const std::string& file);

  /// "candidate" or "control"; null: there is none.
  const EngineFile* role(std::string_view which) const noexcept;
};

}  // namespace edgekit
