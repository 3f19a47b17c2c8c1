// What became of each camera's frames, and how long they took.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "edgekit/status.hpp"

namespace edgekit {

/// Parts of a frame's way: in the mailbox, in the pipeline's three stages, and from submission to result.
enum class Stage : std::uint8_t { wait, preprocess, engine, postprocess, total };
inline constexpr std::size_t stage_count = 5;
/// "wait", "preprocess", "engine", "postprocess", "total"; never null.
const char* name_of(Stage stage) noexcept;

/// Why a frame was not processed.
enum class Drop : std::uint8_t {
  replaced,  ///< a newer one came before its turn
  expired,   ///< its deadline passed before its turn
  stopped,   ///< the scheduler was stopped before its turn
};
inline constexpr std::size_t drop_count = 3;
/// "replaced", "expired", "stopped"; never null.
const char* name_of(Drop drop) noexcept;

/// Codes of Code, ok included.
inline constexpr std::size_t code_count = 11;

/// Of the last frames, at most statistics_window of them; the smallest value that a share of them does not exceed.
struct Percentiles {
  std::chrono::nanoseconds p50{};   ///< the median
  std::chrono::nanoseconds p90{};   ///< of ten, one is longer
  std::chrono::nanoseconds p99{};   ///< of a hundred
  std::chrono::nanoseconds p999{};  ///< of a thousand
  std::chrono::nanoseconds most{};  ///< the longest
};

/// How many of the last results percentiles are of: half a minute at 30 Hz.
inline constexpr std::size_t statistics_window = 1024;

/// Upper ends of the histograms' buckets; one more bucket has the rest. Those of edgekit's ROS 2 node.
inline constexpr std::array<std::chrono::microseconds, 11> bucket_ends{
    std::chrono::microseconds{1000},   std::chrono::microseconds{2000},   std::chrono::microseconds{5000},
    std::chrono::microseconds{10000},  std::chrono::microseconds{20000},  std::chrono::microseconds{33000},
    std::chrono::microseconds{50000},  std::chrono::microseconds{100000}, std::chrono::microseconds{200000},
    std::chrono::microseconds{500000}, std::chrono::microseconds{1000000}};

/// Of all results since the start.
struct Histogram {
  std::array<std::uint64_t, bucket_ends.size() + 1> counts{};  ///< of each bucket alone
  std::uint64_t count = 0;                                     ///< of all buckets
  std::chrono::nanoseconds sum{};                              ///< of all durations
};

/// One camera at one moment. Counters are of one moment and only grow:
/// received = refused + dropped() + answered + failed() + waiting + running.
struct CameraStatistics {
  std::string name;            ///< the camera's
  std::uint64_t received = 0;  ///< frames submitted
  std::uint64_t refused = 0;   ///< frames that were none: wrong size, stride or encoding, too large, no memory
  std::uint64_t answered = 0;  ///< results
  std::uint64_t late = 0;      ///< results after their deadline
  std::array<std::uint64_t, drop_count> drops{};   ///< by cause, see Drop
  std::array<std::uint64_t, code_count> errors{};  ///< frames that were processed in vain, by Code
  std::uint64_t hangs = 0;                         ///< times that the watchdog found the camera's processor hanging
  std::uint64_t callback_failures = 0;             ///< exceptions that a result's callback let out
  std::uint32_t waiting = 0;                       ///< frames in the mailbox, 0 or 1
  std::uint32_t running = 0;                       ///< frames being processed, 0 or 1
  bool hung = false;                               ///< the running one for longer than its limit
  double rate_hz = 0.0;                            ///< results of the last five seconds
  /// Since the last result; negative: there was none.
  std::chrono::nanoseconds last_result_age{-1};
  std::uint64_t last_sequence = 0;                     ///< number of the frame of the last result; 0: there was none
  std::array<Percentiles, stage_count> percentiles{};  ///< by Stage
  std::array<Histogram, stage_count> histograms{};     ///< by Stage

  /// Durations of a stage.
  const Percentiles& of(Stage stage) const noexcept { return percentiles[static_cast<std::size_t>(stage)]; }
  /// Frames dropped for that reason.
  std::uint64_t of(Drop drop) const noexcept { return drops[static_cast<std::size_t>(drop)]; }
  /// Frames that failed like that.
  std::uint64_t of(Code code) const noexcept { return errors[static_cast<std::size_t>(code)]; }
  std::uint64_t dropped() const noexcept;  ///< all causes
  std::uint64_t failed() const noexcept;   ///< all codes
  /// Frames whose deadline passed: late results, and what expired.
  std::uint64_t deadline_misses() const noexcept { return late + of(Drop::expired); }
};

/// Cameras in Prometheus's text format (version 0.0.4), under the names that edgekit's ROS 2 node has.
///
/// Writes at most `size` bytes, never a terminating zero, and returns how many the whole text has: more than `size`
/// says that it was cut off. Allocates nothing.
std::size_t write_prometheus(std::span<const CameraStatistics> cameras, char* buffer, std::size_t size) noexcept;
/// The same as a string. Code::out_of_memory.
Expected<std::string> prometheus_text(std::span<const CameraStatistics> cameras);

}  // namespace edgekit
