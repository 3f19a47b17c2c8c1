// What a TensorRT engine was made with and for, and whether this machine may run it. Needs neither TensorRT nor CUDA.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "edgekit/status.hpp"

namespace edgekit::tensorrt {

/// The file `<engine>.json` beside an engine, which edgekit's build writes.
struct Facts {
  std::string engine_sha256;
  std::string flavour;                               ///< "tensorrt"; "tensorrt-rtx" is another library
  std::string tensorrt;                              ///< version, "10.3.0"
  std::string compute_capability;                    ///< "8.7"
  std::optional<std::string> device = std::nullopt;  ///< of the machine that built it; none: it had no GPU
  std::optional<std::string> cuda = std::nullopt;    ///< newest that its driver ran, "12.6"
  bool version_compatible = false;                   ///< runs on later versions of the same major version
  bool hardware_compatible = false;                  ///< runs on every GPU from compute capability 8.0 on
  bool weight_stripped = false;                      ///< its weights lie in the ONNX file
  std::optional<std::int32_t> dla_core = std::nullopt;
};

/// TensorRT and the first GPU of this machine; empty texts where there is no GPU.
struct Machine {
  std::string tensorrt;
  std::string compute_capability;
  std::string device;
  std::string cuda;
};

/// The facts beside `engine`. Code::bundle: there are none, or they are not whole.
Expected<Facts> read_facts(const std::filesystem::path& engine);

/// Whether `bytes`, the content of `engine`, may be deserialised here.
///
/// Code::bundle: they are not the bytes that the facts name, or were made for another library or GPU; both sides are
/// named. Code::unsupported: an engine without its weights.
Status check_facts(const std::filesystem::path& engine, std::string_view bytes, const Facts& facts,
                   const Machine& here);

/// Whether an engine of TensorRT `built` runs on `here`; `compatible`: it was built to run on later versions. As many
/// parts are compared as both have, and at least three.
bool same_version(std::string_view built, std::string_view here, bool compatible);

}  // namespace edgekit::tensorrt
