// The backend "ov": models that OpenVINO compiled for the processor of this machine.
#include <array>
#include <nlohmann/json.hpp>

#include "backends/openvino/session.hpp"
#include "backends/processor.hpp"
#include "core/no_memory.hpp"

namespace edgekit {
namespace openvino {
namespace {

// Beside those that decide for ONNX Runtime too: what float layers may compute in; engine/ov/__init__.py.
constexpr std::array<const char*, 8> float_sets{"avx512_bf16", "amx_tile", "amx_bf16", "avx512_fp16",
                                                "amx_fp16",    "fphp",     "asimdhp",  "bf16"};

Expected<std::string> fingerprint(const EngineOptions&) {
  std::vector<std::string> sets = instruction_sets(decisive_sets());
  for (std::string& name : instruction_sets(float_sets)) sets.push_back(std::move(name));
  nlohmann::json facts{
      {"engine", "ov"}, {"openvino", version()}, {"device", "CPU"}, {"machine", machine()}, {"isa", sets}};
  if (const auto products = int8_products()) facts["int8_products"] = *products;
  return facts.dump();
}

Expected<std::unique_ptr<Engine>> open(const std::filesystem::path& file, const EngineOptions& options) {
  try {
    Expected<EngineFile> read = read_engine(file, version());
    if (!read) return read.error();
    return std::unique_ptr<Engine>(std::make_unique<OvEngine>(file.filename().string(), *std::move(read), options));
  } catch (const std::bad_alloc&) {
    return no_memory("no memory to load the engine");
  } catch (const std::exception& error) {
    return described(Code::bundle,
                     [&] { return file.string() + ": OpenVINO refuses the engine: " + said(error.what()); });
  }
}

}  // namespace
}  // namespace openvino

extern const Backend openvino_backend;
const Backend openvino_backend{"ov", openvino::open, openvino::fingerprint};

}  // namespace edgekit
