#include "edgekit/statistics.hpp"

#include <numeric>

namespace edgekit {

const char* name_of(Stage stage) noexcept {
  constexpr std::array<const char*, stage_count> names{"wait", "preprocess", "engine", "postprocess", "total"};
  const auto index = static_cast<std::size_t>(stage);
  return index < names.size() ? names[index] : "unknown";
}

const char* name_of(Drop drop) noexcept {
  constexpr std::array<const char*, drop_count> names{"replaced", "expired", "stopped"};
  const auto index = static_cast<std::size_t>(drop);
  return index < names.size() ? names[index] : "unknown";
}

std::uint64_t CameraStatistics::dropped() const noexcept {
  return std::accumulate(drops.begin(), drops.end(), std::uint64_t{0});
}

std::uint64_t CameraStatistics::failed() const noexcept {
  return std::accumulate(errors.begin(), errors.end(), std::uint64_t{0});
}

}  // namespace edgekit
