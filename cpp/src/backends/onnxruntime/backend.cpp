// ONNX Runtime: engines are graphs that it optimised for this processor.
#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "backends/onnxruntime/session.hpp"
#include "core/is_text.hpp"
#include "core/no_memory.hpp"

namespace edgekit {
namespace {

// Instruction sets that decide which kernels and memory layouts an optimised graph holds; runtime/processor.py.
constexpr std::array<const char*, 7> decisive{"avx2",     "avx512f", "avx512_vnni", "avx_vnni",
                                              "amx_int8", "asimddp", "i8mm"};

std::vector<std::string> instruction_sets() {
  std::ifstream file("/proc/cpuinfo");
  std::set<std::string> flags;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    for (std::size_t start = 0; start < line.size();) {
      const std::size_t end = std::min(line.find(' ', start), line.size());
      flags.insert(line.substr(start, end - start));
      start = end + 1;
    }
  }
  std::vector<std::string> found;
  std::copy_if(decisive.begin(), decisive.end(), std::back_inserter(found),
               [&flags](const char* name) { return flags.contains(name); });
  return found;
}

std::string machine() {
  utsname facts{};
  return uname(&facts) == 0 ? facts.machine : "";
}

Expected<std::string> fingerprint(const EngineOptions& options) {
  const std::vector<std::string> sets = instruction_sets();
  nlohmann::json facts{{"engine", "ort"},
                       {"onnxruntime", Ort::GetVersionString()},
                       {"provider", options.provider},
                       {"machine", machine()},
                       {"isa", sets}};
  const bool fused =
      std::any_of(sets.begin(), sets.end(), [](const std::string& name) { return name.ends_with("_vnni"); });
  // On x86 without VNNI products of uint8 and int8 saturate: the graph then multiplies uint8 by uint8.
  if (is_text(facts["machine"], "x86_64") && !fused) facts["int8_products"] = "u8u8";
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

/// An engine of the target `native` is one of `ort`.
bool same_fact(std::string_view key, std::string_view built, std::string_view here) {
  return built == here || (key == "engine" && built == R"("native")");
}

}  // namespace

extern const Backend onnxruntime_backend;
const Backend onnxruntime_backend{"ort", open, fingerprint, same_fact};

}  // namespace edgekit
