// Writes down what becomes of one camera's frames.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "edgekit/pipeline.hpp"
#include "edgekit/statistics.hpp"
#include "scheduling/ring.hpp"

namespace edgekit {

/// What happened to a frame that ran.
struct Run {
  std::uint64_t sequence = 0;
  Code code = Code::ok;
  bool late = false;
  Timing timing;
  std::chrono::nanoseconds submitted{};
  std::chrono::nanoseconds started{};
  std::chrono::nanoseconds finished{};
};

/// All but snapshot() need the scheduler's lock, which makes them one writer; snapshot() needs nothing.
class Recorder {
 public:
  explicit Recorder(std::string name);

  void refused() noexcept;
  void submitted(bool replaces) noexcept;  ///< a frame has taken the mailbox, from an older one
  void dropped(Drop cause) noexcept;       ///< the one in the mailbox was
  void started() noexcept;                 ///< the one in the mailbox was
  void finished(const Run& run) noexcept;
  void hung() noexcept;
  void callback_failed() noexcept;

  std::uint64_t received() const noexcept { return counters_.received; }
  /// Median of the last runs; 0 before the first.
  std::chrono::nanoseconds median_run() const noexcept;

  CameraStatistics snapshot(std::chrono::nanoseconds now) const;

 private:
  struct Counters {
    std::uint64_t received = 0;
    std::uint64_t refused = 0;
    std::uint64_t answered = 0;
    std::uint64_t late = 0;
    std::array<std::uint64_t, drop_count> drops{};
    std::array<std::uint64_t, code_count> errors{};
    std::uint64_t hangs = 0;
    std::uint64_t callback_failures = 0;
    std::uint64_t waiting = 0;
    std::uint64_t running = 0;
    std::uint64_t hung = 0;
    std::uint64_t last_sequence = 0;
    std::int64_t last_result_ns = 0;
  };
  struct Totals {
    std::array<std::array<std::uint64_t, bucket_ends.size() + 1>, stage_count> buckets{};
    std::array<std::int64_t, stage_count> sums_ns{};
  };
  struct Sample {
    std::int64_t finished_ns = 0;
    std::array<std::int64_t, stage_count> stages_ns{};
  };
  static constexpr std::size_t recent = 15;

  void publish() noexcept { published_.push(counters_); }
  void count(const Sample& sample) noexcept;
  void remember(std::int64_t run_ns) noexcept;
  static double rate_of(std::span<const Sample> samples, std::chrono::nanoseconds now) noexcept;
  void fill_times(CameraStatistics& made, std::chrono::nanoseconds now) const noexcept;

  std::string name_;
  Counters counters_;  // the writer's; readers have what was published
  Totals totals_;
  std::array<std::int64_t, recent> runs_ns_{};
  std::size_t runs_ = 0;
  Ring<Counters, 16> published_;
  Ring<Totals, 8> published_totals_;
  Ring<Sample, statistics_window * 2> samples_;
};

}  // namespace edgekit
