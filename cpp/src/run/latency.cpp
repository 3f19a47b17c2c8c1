#include "run/latency.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>

namespace edgekit::run {
namespace {

using Times = std::vector<double>;

struct Quantile {
  std::string_view name;
  double share;
  bool bounded;
};

constexpr std::array<Quantile, 4> quantiles{
    {{"p50", 0.5, false}, {"p90", 0.9, true}, {"p99", 0.99, true}, {"p999", 0.999, true}}};
constexpr double confidence = 0.95;
constexpr double bound_confidence = 0.99;

/// P(K <= k) for k in 0..trials, K ~ Binomial(trials, p).
Times binomial_cdf(std::size_t trials, double p) {
  Times made(trials + 1);
  const auto n = static_cast<double>(trials);
  const double all = std::lgamma(n + 1);
  double sum = 0;
  for (std::size_t at = 0; at <= trials; ++at) {
    const auto k = static_cast<double>(at);
    sum += std::exp(all - std::lgamma(k + 1) - std::lgamma(n - k + 1) + k * std::log(p) + (n - k) * std::log1p(-p));
    made[at] = std::min(sum, 1.0);
  }
  return made;
}

/// Linear interpolation between the neighbours, as numpy.quantile.
double quantile(const Times& ordered, double share) {
  const double place = share * static_cast<double>(ordered.size() - 1);
  const auto low = static_cast<std::size_t>(place);
  const std::size_t high = std::min(low + 1, ordered.size() - 1);
  return std::lerp(ordered[low], ordered[high], place - std::floor(place));
}

/// The innermost times that leave at most half of what is not sure on each side.
std::pair<std::optional<double>, std::optional<double>> interval(const Times& ordered, double share) {
  const Times below = binomial_cdf(ordered.size(), share);
  const double tail = (1 - confidence) / 2;
  const auto low = std::upper_bound(below.begin(), below.end(), tail) - below.begin() - 1;
  const auto high = std::lower_bound(below.begin(), below.end(), 1 - tail) - below.begin();
  std::pair<std::optional<double>, std::optional<double>> made;
  if (low >= 0) made.first = ordered[static_cast<std::size_t>(low)];
  if (static_cast<std::size_t>(high) < ordered.size()) made.second = ordered[static_cast<std::size_t>(high)];
  return made;
}

/// The quantile is below it with 99 %: of the queries that may lie above, all but one are discarded.
std::optional<double> early_stopping(const Times& ordered, double share) {
  const Times cdf = binomial_cdf(ordered.size(), 1 - share);
  const auto over = std::lower_bound(cdf.begin(), cdf.end(), 1 - bound_confidence) - cdf.begin() - 1;
  if (over < 1) return std::nullopt;
  return ordered[ordered.size() - static_cast<std::size_t>(over)];
}

}  // namespace

Latency summarise(std::vector<double> times_ms) {
  std::sort(times_ms.begin(), times_ms.end());
  Latency made;
  made.samples = times_ms.size();
  made.mean = std::accumulate(times_ms.begin(), times_ms.end(), 0.0) / static_cast<double>(times_ms.size());
  made.p50 = quantile(times_ms, 0.5);
  made.p90 = quantile(times_ms, 0.9);
  made.p99 = quantile(times_ms, 0.99);
  for (const Quantile& one : quantiles) {
    made.intervals[std::string(one.name)] = interval(times_ms, one.share);
    if (one.bounded) made.bounds[std::string(one.name)] = early_stopping(times_ms, one.share);
  }
  if (made.bounds["p999"]) made.p999 = quantile(times_ms, 0.999);
  return made;
}

}  // namespace edgekit::run
