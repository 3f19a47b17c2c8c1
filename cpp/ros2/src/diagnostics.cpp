#include "diagnostics.hpp"

#include <cstdio>
#include <utility>

namespace edgekit::ros {
namespace {

using diagnostic_msgs::msg::DiagnosticStatus;

DiagnosticStatus status(const Speaker& speaker, const char* name, std::uint8_t level, std::string message) {
  DiagnosticStatus made;
  made.level = level;
  made.name = speaker.label + ": " + name;
  made.message = std::move(message);
  made.hardware_id = speaker.identity;
  return made;
}

void add(DiagnosticStatus& status, const char* key, std::string value) {
  status.values.emplace_back();
  status.values.back().key = key;
  status.values.back().value = std::move(value);
}

std::string ms(std::chrono::nanoseconds time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", std::chrono::duration<double, std::milli>(time).count());
  return text;
}

std::uint64_t dropped(const CameraStatistics& one) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : one.drops) sum += count;
  return sum;
}

std::uint64_t failed(const CameraStatistics& one) {
  std::uint64_t sum = 0;
  for (const std::uint64_t count : one.errors) sum += count;
  return sum;
}

DiagnosticStatus engine(const Speaker& speaker, const CameraStatistics* now) {
  const bool bad = !speaker.failure.empty();
  const std::string message = bad              ? speaker.failure
                              : now != nullptr ? "The node is active."
                                               : "The node is not active.";
  DiagnosticStatus made = status(speaker, "engine", bad ? DiagnosticStatus::ERROR : DiagnosticStatus::OK, message);
  add(made, "bundle", speaker.identity);
  add(made, "provider", speaker.engine);
  add(made, "runs", "C++");
  return made;
}

DiagnosticStatus inference(const Speaker& speaker, const CameraStatistics& now) {
  DiagnosticStatus made = status(speaker, "inference", now.hung ? DiagnosticStatus::ERROR : DiagnosticStatus::OK,
                                 now.hung ? "An inference hangs." : "Inferences end in time.");
  add(made, "Hangs since startup", std::to_string(now.hangs));
  add(made, "Age of the last result (ms)", ms(now.last_result_age));
  return made;
}

DiagnosticStatus times(const Speaker& speaker, const CameraStatistics& now) {
  DiagnosticStatus made = status(speaker, "processing time", DiagnosticStatus::OK, "");
  for (std::size_t stage = 0; stage < stage_count; ++stage) {
    const std::string name = name_of(static_cast<Stage>(stage));
    add(made, (name + " p50 (ms)").c_str(), ms(now.percentiles[stage].p50));
    add(made, (name + " p99 (ms)").c_str(), ms(now.percentiles[stage].p99));
  }
  return made;
}

/// A counter that should stand still.
DiagnosticStatus counter(const Speaker& speaker, const char* name, std::uint64_t now, std::uint64_t before,
                         const std::string& what) {
  const std::uint64_t lately = now - before;
  DiagnosticStatus made = status(speaker, name, lately > 0 ? DiagnosticStatus::WARN : DiagnosticStatus::OK,
                                 lately > 0 ? std::to_string(lately) + " " + what : "No " + what + ".");
  add(made, (what + " since startup").c_str(), std::to_string(now));
  return made;
}

DiagnosticStatus rate(const Speaker& speaker, const CameraStatistics& now) {
  const bool silent = now.rate_hz <= 0.0;
  DiagnosticStatus made = status(speaker, "input rate", silent ? DiagnosticStatus::WARN : DiagnosticStatus::OK,
                                 silent ? "No events recorded." : "Frames are answered.");
  add(made, "Events since startup", std::to_string(now.received));
  add(made, "Actual frequency (Hz)", std::to_string(now.rate_hz));
  return made;
}

}  // namespace

diagnostic_msgs::msg::DiagnosticArray statuses(const Speaker& speaker, const CameraStatistics* now,
                                               const CameraStatistics* before) {
  diagnostic_msgs::msg::DiagnosticArray array;
  array.status.push_back(engine(speaker, now));
  if (now == nullptr) return array;
  const CameraStatistics none;
  const CameraStatistics& last = before == nullptr ? none : *before;
  array.status.push_back(inference(speaker, *now));
  array.status.push_back(times(speaker, *now));
  array.status.push_back(rate(speaker, *now));
  array.status.push_back(counter(speaker, "deadline", now->late, last.late, "results after their deadline"));
  array.status.push_back(counter(speaker, "drops", dropped(*now), dropped(last), "frames dropped"));
  array.status.push_back(counter(speaker, "refused frames", now->refused, last.refused, "frames refused"));
  array.status.push_back(counter(speaker, "output", failed(*now), failed(last), "frames processed in vain"));
  return array;
}

}  // namespace edgekit::ros
