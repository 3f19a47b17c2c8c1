// Percentiles of times, as edgekit profile has them (src/edgekit/stats/percentiles.py).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace edgekit::run {

/// Milliseconds over `samples` queries.
struct Latency {
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double mean = 0;
  std::size_t samples = 0;
  std::optional<double> p999;  ///< of 6636 queries or more
  /// 95 % confidence intervals without an assumption on the distribution; an end is missing where queries are too few.
  std::map<std::string, std::pair<std::optional<double>, std::optional<double>>> intervals;
  /// MLPerf's early-stopping estimates at 99 %.
  std::map<std::string, std::optional<double>> bounds;
};

/// Of one time or more, in any order, none of them negative.
Latency summarise(std::vector<double> times_ms);

}  // namespace edgekit::run
