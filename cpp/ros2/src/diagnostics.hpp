// What the scheduler counts, as statuses of /diagnostics.
#pragma once

#include <diagnostic_msgs/msg/diagnostic_array.hpp>
#include <edgekit/statistics.hpp>
#include <string>

namespace edgekit::ros {

/// Who speaks: what stands before the names of its statuses, and what it says of the bundle.
struct Speaker {
  std::string label;     ///< of the node, without the leading slash
  std::string identity;  ///< of the bundle; empty: none is configured
  std::string engine;    ///< backend, version, threads
  std::string failure;   ///< of the last transition; empty: it went well
};

/// Statuses of one moment, under names of edgekit's Python node. `before` are the statistics of the last call: rates of
/// drops and misses are of the time between; null pointers: the node is not active.
diagnostic_msgs::msg::DiagnosticArray statuses(const Speaker& speaker, const CameraStatistics* now,
                                               const CameraStatistics* before);

}  // namespace edgekit::ros
