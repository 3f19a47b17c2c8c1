// ONNX Runtime: engines are graphs that it optimised for this processor.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "backends/onnxruntime/session.hpp"
#include "backends/processor.hpp"
#include "core/no_memory.hpp"
#include "operators.hpp"

namespace edgekit {
namespace {

Expected<std::string> fingerprint(const EngineOptions& options) {
  nlohmann::json facts{
      {"engine", "ort"},      {"onnxruntime", Ort::GetVersionString()},   {"provider", options.provider},
      {"machine", machine()}, {"isa", instruction_sets(decisive_sets())}, {"operators", ops::version}};
  if (const auto products = int8_products()) facts["int8_products"] = *products;
  return facts.dump();
}

Expected<std::unique_ptr<Engine>> open(const std::filesystem::path& file, const EngineOptions& options) {
  try {
    const std::vector<std::string> providers = Ort::GetAvailableProviders();
    const std::string wanted = options.provider == "cuda" ? "CUDAExecutionProvider" : "CPUExecutionProvider";
    if (std::find(providers.begin(), providers.end(), wanted) == providers.end()) {
      return Error{Code::missing_requirement, "this ONNX Runtime has no " + wanted + "; install one that has"};
    }
    return std::unique_ptr<Engine>(std::make_unique<OrtEngine>(file, options));
  } catch (const std::bad_alloc&) {
    return no_memory("no memory to load the engine");
  } catch (const std::exception& error) {
    const std::string_view what = error.what();
    const bool memory = what.find("bad_alloc") != what.npos || what.find("Failed to allocate memory") != what.npos;
    return described(memory ? Code::out_of_memory : Code::bundle,
                     [&] { return file.string() + ": ONNX Runtime refuses the model: " + error.what(); });
  }
}

/// An engine of the target `native` is one of `ort`, and one that uses no operators runs where there are some.
bool same_fact(std::string_view key, std::string_view built, std::string_view here) {
  return built == here || (key == "engine" && built == R"("native")") || (key == "operators" && built == "null");
}

}  // namespace

extern const Backend onnxruntime_backend;
const Backend onnxruntime_backend{"ort", open, fingerprint, same_fact};

}  // namespace edgekit
