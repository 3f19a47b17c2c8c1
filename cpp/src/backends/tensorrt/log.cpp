#include "backends/tensorrt/log.hpp"

#include <exception>

namespace edgekit::tensorrt {
namespace {

constexpr std::size_t kept = 2;

}  // namespace

void Log::log(Severity severity, const nvinfer1::AsciiChar* message) noexcept {
  if (severity > Severity::kERROR || message == nullptr) return;
  try {
    const std::scoped_lock lock(mutex_);
    if (problems_.size() == kept) problems_.erase(problems_.begin());
    problems_.emplace_back(message);
  } catch (const std::exception&) {  // no memory for the words: the error itself is still told
  }
}

void Log::clear() noexcept {
  const std::scoped_lock lock(mutex_);
  problems_.clear();
}

std::string Log::take_words() {
  const std::scoped_lock lock(mutex_);
  std::string said;
  for (const std::string& one : problems_) said += (said.empty() ? "" : "; ") + one;
  problems_.clear();
  return said.empty() ? said : " (" + said + ")";
}

Log& process_log() noexcept {
  static Log log;
  return log;
}

}  // namespace edgekit::tensorrt
