// The file of an OpenVINO engine, as edgekit/engine/ov/enginefile.py writes it: what it was made with and for, and
// OpenVINO's compiled model behind that.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit::openvino {

struct EngineFile {
  std::string hint;  ///< what its float layers compute in: f32, bf16 or f16
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::string blob;  ///< the compiled model
};

/// The engine in `file`. OpenVINO reads a compiled model as this process; one that is not whole, or that another
/// version than `version` made, is refused before.
///
/// Code::bundle: it is no such file, not whole, or of another version.
Expected<EngineFile> read_engine(const std::filesystem::path& file, std::string_view version);

}  // namespace edgekit::openvino
