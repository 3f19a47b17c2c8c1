// The backend "trt": engine files of TensorRT 10 and 11, checked against this machine before they are deserialised.

#include <fstream>
#include <iterator>
#include <new>
#include <nlohmann/json.hpp>
#include <string>

#include "backends/tensorrt/cuda.hpp"
#include "backends/tensorrt/facts.hpp"
#include "backends/tensorrt/session.hpp"

namespace edgekit {
namespace tensorrt {
namespace {

static_assert(NV_TENSORRT_MAJOR >= 10, "the TensorRT backend needs TensorRT 10 or newer");

std::string version() {
  const std::int32_t number = getInferLibVersion();  // of the library that runs, which need not be the headers'
  return std::to_string(number / 10000) + "." + std::to_string(number / 100 % 100) + "." + std::to_string(number % 100);
}

Error no_gpu() {
  return {Code::missing_requirement,
          "no NVIDIA GPU answers; install NVIDIA's driver (on Jetson: JetPack; elsewhere "
          "https://www.nvidia.com/drivers)"};
}

Machine this_machine() {
  Device device = first_device();
  return {.tensorrt = version(),
          .compute_capability = std::move(device.compute_capability),
          .device = std::move(device.name),
          .cuda = std::move(device.cuda)};
}

Expected<std::unique_ptr<Engine>> checked_open(const std::filesystem::path& file, const EngineOptions& options) {
  Expected<Facts> facts = read_facts(file);
  if (!facts) return facts.error();
  std::ifstream opened(file, std::ios::binary);
  if (!opened) return Error{Code::bundle, file.string() + ": cannot be read"};
  const std::string plan{std::istreambuf_iterator<char>(opened), {}};
  const Machine here = this_machine();
  if (here.compute_capability.empty()) return no_gpu();
  if (Status status = check_facts(file, plan, *facts, here); !status) return status.error();
  return Session::open(file.filename().string(), plan, *facts, here, options.cuda_graph);
}

Expected<std::unique_ptr<Engine>> open(const std::filesystem::path& file, const EngineOptions& options) {
  try {
    return checked_open(file, options);
  } catch (const std::bad_alloc&) {
    return Error{Code::out_of_memory, "no memory for an engine"};
  }
}

Expected<std::string> fingerprint(const EngineOptions&) {
  const Machine here = this_machine();
  if (here.compute_capability.empty()) return no_gpu();
  return nlohmann::json{{"engine", "trt"},
                        {"flavour", "tensorrt"},
                        {"tensorrt", here.tensorrt},
                        {"compute_capability", here.compute_capability}}
      .dump();
}

/// Version and GPU are held against the facts beside the engine, which know how it was built: check_facts.
bool same_fact(std::string_view key, std::string_view built, std::string_view here) {
  return key == "tensorrt" || key == "compute_capability" || built == here;
}

}  // namespace
}  // namespace tensorrt

extern const Backend tensorrt_backend;
const Backend tensorrt_backend{"trt", tensorrt::open, tensorrt::fingerprint, tensorrt::same_fact};

}  // namespace edgekit
