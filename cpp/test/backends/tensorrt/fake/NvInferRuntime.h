// A stand-in for TensorRT's runtime with the names that the backend uses: an engine whose output is twice its input.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cuda_runtime_api.h"

#define NV_TENSORRT_MAJOR 10

inline std::int32_t getInferLibVersion() noexcept { return 100300; }

namespace nvinfer1 {

using AsciiChar = char;
enum class DataType { kFLOAT, kHALF, kINT8, kINT32, kBOOL, kUINT8, kFP8, kBF16, kINT64 };
enum class TensorFormat { kLINEAR, kCHW4 };
enum class TensorLocation { kDEVICE, kHOST };
enum class TensorIOMode { kNONE, kINPUT, kOUTPUT };
enum class OptProfileSelector { kMIN, kOPT, kMAX };

struct Dims {
  std::int32_t nbDims = 0;
  std::int64_t d[8] = {};
};

class ILogger {
 public:
  enum class Severity { kINTERNAL_ERROR, kERROR, kWARNING, kINFO, kVERBOSE };
  virtual ~ILogger() = default;
  virtual void log(Severity severity, const AsciiChar* message) noexcept = 0;
};

}  // namespace nvinfer1

namespace fake {

/// What an engine is like; a size of -1 is dynamic. A profile is the smallest and the largest first axis of the input.
struct Model {
  std::vector<std::int64_t> shape{1, 4};
  std::vector<std::pair<std::int64_t, std::int64_t>> profiles{{1, 1}};
  nvinfer1::DataType type = nvinfer1::DataType::kFLOAT;
  nvinfer1::TensorFormat format = nvinfer1::TensorFormat::kLINEAR;
  bool sizes_as_input = false;
  bool data_dependent = false;
  bool starts = true;
  bool reads = true;
  bool makes_context = true;
  bool runs = true;
  int dla_core = -1;
  bool host_code = false;
  int objects = 0;  // that nobody has destroyed
};
inline Model model;
inline nvinfer1::ILogger* logger = nullptr;

inline void say(nvinfer1::ILogger::Severity severity, const char* words) { logger->log(severity, words); }

inline nvinfer1::Dims dims(const std::vector<std::int64_t>& sizes) {
  nvinfer1::Dims made;
  made.nbDims = static_cast<std::int32_t>(sizes.size());
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) made.d[axis] = sizes[axis];
  return made;
}

struct Counted {
  Counted() { ++model.objects; }
  ~Counted() { --model.objects; }
};

}  // namespace fake

namespace nvinfer1 {

class IExecutionContext {
 public:
  std::int32_t getOptimizationProfile() const noexcept { return profile_; }
  bool setOptimizationProfileAsync(std::int32_t profile, cudaStream_t) noexcept {
    profile_ = profile;
    return true;
  }
  bool setInputShape(const char*, const Dims& dims) noexcept {
    shape_ = dims;
    const auto [low, high] = fake::model.profiles[static_cast<std::size_t>(profile_)];
    return dims.d[0] >= low && dims.d[0] <= high;
  }
  Dims getTensorShape(const char* name) const noexcept {
    Dims found = shape_;
    if (std::string_view(name) == "y" && fake::model.data_dependent) found.d[0] = -1;
    return found;
  }
  bool setTensorAddress(const char* name, void* address) noexcept {
    at_[name] = static_cast<float*>(address);
    return address != nullptr;
  }
  bool enqueueV3(cudaStream_t stream) noexcept {
    if (!fake::model.runs) {
      fake::say(ILogger::Severity::kERROR, "a kernel failed");
      return false;
    }
    std::int64_t count = 1;
    for (std::int32_t axis = 0; axis < shape_.nbDims; ++axis) count *= shape_.d[axis];
    fake::work(stream, [x = at_["x"], y = at_["y"], count] {
      for (std::int64_t index = 0; index < count; ++index) y[index] = 2 * x[index];
    });
    return true;
  }

 private:
  fake::Counted counted_;
  std::int32_t profile_ = 0;
  Dims shape_ = fake::dims(fake::model.shape);
  std::map<std::string, float*> at_;
};

class ICudaEngine {
 public:
  std::int32_t getNbIOTensors() const noexcept { return 2; }
  const char* getIOTensorName(std::int32_t index) const noexcept { return index == 0 ? "x" : "y"; }
  TensorIOMode getTensorIOMode(const char* name) const noexcept {
    return std::string_view(name) == "x" ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
  }
  DataType getTensorDataType(const char*) const noexcept { return fake::model.type; }
  TensorFormat getTensorFormat(const char*) const noexcept { return fake::model.format; }
  const char* getTensorFormatDesc(const char*) const noexcept { return "four channels together"; }
  TensorLocation getTensorLocation(const char* name) const noexcept {
    return fake::model.sizes_as_input && std::string_view(name) == "x" ? TensorLocation::kHOST
                                                                       : TensorLocation::kDEVICE;
  }
  Dims getTensorShape(const char*) const noexcept { return fake::dims(fake::model.shape); }
  std::int32_t getNbOptimizationProfiles() const noexcept {
    return static_cast<std::int32_t>(fake::model.profiles.size());
  }
  Dims getProfileShape(const char*, std::int32_t profile, OptProfileSelector select) const noexcept {
    Dims found = fake::dims(fake::model.shape);
    const auto [low, high] = fake::model.profiles[static_cast<std::size_t>(profile)];
    found.d[0] = select == OptProfileSelector::kMIN ? low : high;
    return found;
  }
  std::int64_t getDeviceMemorySizeV2() const noexcept { return 5 << 20; }
  IExecutionContext* createExecutionContext() noexcept {
    if (!fake::model.makes_context) {
      fake::say(ILogger::Severity::kERROR, "no scratch memory");
      return nullptr;
    }
    return new IExecutionContext;
  }

 private:
  fake::Counted counted_;
};

class IRuntime {
 public:
  void setDLACore(std::int32_t core) noexcept { fake::model.dla_core = core; }
  void setEngineHostCodeAllowed(bool allowed) noexcept { fake::model.host_code = allowed; }
  ICudaEngine* deserializeCudaEngine(const void*, std::size_t) noexcept {
    fake::say(ILogger::Severity::kWARNING, "only a warning");
    if (fake::model.reads) return new ICudaEngine;
    for (const char* words : {"first", "second", "third"}) fake::say(ILogger::Severity::kERROR, words);
    return nullptr;
  }

 private:
  fake::Counted counted_;
};

inline IRuntime* createInferRuntime(ILogger& log) noexcept {
  fake::logger = &log;
  if (fake::model.starts) return new IRuntime;
  fake::say(ILogger::Severity::kERROR, "CUDA initialization failure");
  return nullptr;
}

}  // namespace nvinfer1
