#include "scheduling/recorder.hpp"

#include <algorithm>
#include <cmath>

namespace edgekit {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds rate_window = std::chrono::seconds(5);

/// The smallest value that a share of them does not exceed; `ordered` is not empty.
std::int64_t at_share(std::span<const std::int64_t> ordered, double share) noexcept {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(ordered.size())));
  return ordered[std::min(std::max<std::size_t>(rank, 1), ordered.size()) - 1];
}

Percentiles percentiles_of(std::span<std::int64_t> times_ns) noexcept {
  if (times_ns.empty()) return {};
  std::sort(times_ns.begin(), times_ns.end());
  return {.p50 = nanoseconds(at_share(times_ns, 0.5)),
          .p90 = nanoseconds(at_share(times_ns, 0.9)),
          .p99 = nanoseconds(at_share(times_ns, 0.99)),
          .p999 = nanoseconds(at_share(times_ns, 0.999)),
          .most = nanoseconds(times_ns.back())};
}

std::size_t bucket_of(std::int64_t time_ns) noexcept {
  const auto found = std::lower_bound(bucket_ends.begin(), bucket_ends.end(), nanoseconds(time_ns));
  return static_cast<std::size_t>(found - bucket_ends.begin());
}

}  // namespace

Recorder::Recorder(std::string name) : name_(std::move(name)) {}

void Recorder::refused() noexcept {
  ++counters_.received;
  ++counters_.refused;
  publish();
}

void Recorder::submitted(bool replaces) noexcept {
  ++counters_.received;
  if (replaces) ++counters_.drops[static_cast<std::size_t>(Drop::replaced)];
  counters_.waiting = 1;
  publish();
}

void Recorder::dropped(Drop cause) noexcept {
  ++counters_.drops[static_cast<std::size_t>(cause)];
  counters_.waiting = 0;
  publish();
}

void Recorder::started() noexcept {
  counters_.waiting = 0;
  counters_.running = 1;
  publish();
}

void Recorder::hung() noexcept {
  ++counters_.hangs;
  counters_.hung = 1;
  publish();
}

void Recorder::callback_failed() noexcept {
  ++counters_.callback_failures;
  publish();
}

void Recorder::finished(const Run& run) noexcept {
  counters_.running = 0;
  counters_.hung = 0;
  remember((run.finished - run.started).count());
  if (run.code != Code::ok) {
    ++counters_.errors[std::min(static_cast<std::size_t>(run.code), code_count - 1)];
    return publish();
  }
  ++counters_.answered;
  if (run.late) ++counters_.late;
  counters_.last_sequence = run.sequence;
  counters_.last_result_ns = run.finished.count();
  count({.finished_ns = run.finished.count(),
         .stages_ns = {(run.started - run.submitted).count(), run.timing.preprocess.count(), run.timing.engine.count(),
                       run.timing.postprocess.count(), (run.finished - run.submitted).count()}});
  publish();
}

void Recorder::count(const Sample& sample) noexcept {
  for (std::size_t stage = 0; stage < stage_count; ++stage) {
    ++totals_.buckets[stage][bucket_of(sample.stages_ns[stage])];
    totals_.sums_ns[stage] += sample.stages_ns[stage];
  }
  samples_.push(sample);
  published_totals_.push(totals_);
}

void Recorder::remember(std::int64_t run_ns) noexcept {
  runs_ns_[runs_ % recent] = run_ns;
  ++runs_;
}

nanoseconds Recorder::median_run() const noexcept {
  const std::size_t many = std::min(runs_, recent);
  if (many == 0) return nanoseconds(0);
  std::array<std::int64_t, recent> ordered = runs_ns_;
  std::nth_element(ordered.begin(), ordered.begin() + many / 2, ordered.begin() + many);
  return nanoseconds(ordered[many / 2]);
}

CameraStatistics Recorder::snapshot(nanoseconds now) const {
  CameraStatistics made;
  made.name = name_;
  const Counters seen = published_.last();
  made.received = seen.received;
  made.refused = seen.refused;
  made.answered = seen.answered;
  made.late = seen.late;
  made.drops = seen.drops;
  made.errors = seen.errors;
  made.hangs = seen.hangs;
  made.callback_failures = seen.callback_failures;
  made.waiting = static_cast<std::uint32_t>(seen.waiting);
  made.running = static_cast<std::uint32_t>(seen.running);
  made.hung = seen.hung != 0;
  made.last_sequence = seen.last_sequence;
  // A result that came between the caller's look at the clock and now is not of the future.
  if (seen.answered > 0) made.last_result_age = std::max(nanoseconds(0), now - nanoseconds(seen.last_result_ns));
  fill_times(made, now);
  return made;
}

void Recorder::fill_times(CameraStatistics& made, nanoseconds now) const noexcept {
  const Totals totals = published_totals_.last();
  for (std::size_t stage = 0; stage < stage_count; ++stage) {
    Histogram& histogram = made.histograms[stage];
    histogram.counts = totals.buckets[stage];
    for (const std::uint64_t each : histogram.counts) histogram.count += each;
    histogram.sum = nanoseconds(totals.sums_ns[stage]);
  }
  std::array<Sample, statistics_window> samples;
  const std::size_t many = samples_.newest(samples);
  const std::span<const Sample> seen(samples.data(), many);
  made.rate_hz = rate_of(seen, now);
  std::array<std::int64_t, statistics_window> times_ns;
  for (std::size_t stage = 0; stage < stage_count; ++stage) {
    for (std::size_t at = 0; at < many; ++at) times_ns[at] = seen[at].stages_ns[stage];
    made.percentiles[stage] = percentiles_of({times_ns.data(), many});
  }
}

double Recorder::rate_of(std::span<const Sample> samples, nanoseconds now) noexcept {
  const std::int64_t begin_ns = (now - rate_window).count();
  const auto first = std::partition_point(samples.begin(), samples.end(),
                                          [begin_ns](const Sample& one) { return one.finished_ns <= begin_ns; });
  const auto many = static_cast<double>(samples.end() - first);
  if (many == 0) return 0.0;
  // Before the window is full, and where the ring is shorter than it, the time from the first sample is what counts;
  // the gap in front of that sample is not known.
  const bool whole = first != samples.begin();
  const double window_s = std::chrono::duration<double>(rate_window).count();
  if (whole) return many / window_s;
  const double seen_s = std::chrono::duration<double>(now - nanoseconds(first->finished_ns)).count();
  return many > 1 && seen_s > 0 ? (many - 1) / seen_s : 0.0;
}

}  // namespace edgekit
