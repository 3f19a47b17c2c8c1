// What TensorRT says, kept for error messages.
#pragma once

#include <NvInferRuntime.h>

#include <mutex>
#include <string>
#include <vector>

namespace edgekit::tensorrt {

/// The one logger that the library keeps for the whole process: its first logger serves every later runtime too.
class Log final : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const nvinfer1::AsciiChar* message) noexcept override;
  /// Forgets what was said before.
  void clear() noexcept;
  /// The last two errors since it was asked last, in brackets, to follow a message; empty: TensorRT said nothing.
  std::string take_words();

 private:
  std::mutex mutex_;
  std::vector<std::string> problems_;
};

Log& process_log() noexcept;

}  // namespace edgekit::tensorrt
