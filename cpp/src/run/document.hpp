// The document of edgekit-run --json: the fields of edgekit profile (src/edgekit/core/reports/timing.py).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "edgekit/bundle.hpp"
#include "edgekit/pipeline.hpp"

namespace edgekit::run {

/// Milliseconds of each stage, one entry a frame.
struct Times {
  std::vector<double> pre;
  std::vector<double> infer;
  std::vector<double> post;
  std::vector<double> total;

  void add(const Timing& timing);
};

/// What was run, and how.
struct Session {
  std::string role = "candidate";
  std::string described;          ///< the engine of itself
  std::vector<double> warmup_ms;  ///< frames before those that count
  std::uint64_t frames = 0;       ///< different ones
  std::uint64_t skipped = 0;      ///< overwritten by newer ones before they were taken
  double seconds = 0;             ///< from the first frame that counts to the end of the last
  double imports_mib = 0;         ///< resident before the bundle was opened
};

/// `frames` of the document is left to the caller. Times of one frame or more.
nlohmann::ordered_json document(const Bundle& bundle, const Session& session, const Times& times);

/// MiB of a line of /proc/self/status, such as VmRSS; 0 where there is none.
double status_mib(const std::string& key);

/// Whether the medians of the last two windows of ten agree within 5 %, as edgekit profile asks of its warm-up.
bool settled(const std::vector<double>& times_ms);

}  // namespace edgekit::run
