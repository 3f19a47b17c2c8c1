// Whose turn it is. Knows neither threads nor frames nor clocks: every time is given.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace edgekit {

/// What decides about a camera's turn.
struct Claim {
  std::int32_t priority = 0;
  std::chrono::nanoseconds period{};
  std::chrono::nanoseconds deadline{};
  std::size_t group = 0;  ///< cameras of one group never run at once
};

/// The cameras of a scheduler, which of them has a frame, and what share of its last frames each has lost.
///
/// Whose turn it is among those that have a frame: the highest priority; among these a camera that loses frames before
/// one that does not. Between two that lose none, the earliest deadline; between two that do, the greater share lost.
/// A deadline alone would let the same camera lose every time, the one whose frames come just before a thread gets
/// free.
class Turns {
 public:
  std::size_t add(const Claim& claim);

  /// A frame of the camera waits from now on; one that waits already is lost.
  void arrived(std::size_t camera, std::chrono::nanoseconds submitted);
  /// The camera's frame is lost.
  void dropped(std::size_t camera);
  /// Who runs next; none: nobody has a frame, or those who have are running.
  std::optional<std::size_t> next(std::chrono::nanoseconds now) const;
  void started(std::size_t camera);
  void finished(std::size_t camera);

  bool waits(std::size_t camera) const { return cameras_[camera].waits; }
  bool runs(std::size_t camera) const { return cameras_[camera].runs; }
  /// Whether the deadline of the frame that waits is over.
  bool expired(std::size_t camera, std::chrono::nanoseconds now) const;
  bool idle() const;
  std::size_t size() const { return cameras_.size(); }

 private:
  struct Camera {
    Claim claim;
    bool waits = false;
    bool runs = false;
    double lost = 0.0;  // of the last frames, the older the less
    std::chrono::nanoseconds submitted{};
    std::uint64_t last_start = 0;
  };

  static double share(const Camera& camera, std::chrono::nanoseconds now);
  static bool before(const Camera& one, const Camera& other, std::chrono::nanoseconds now);

  std::vector<Camera> cameras_;
  std::vector<bool> busy_;  // by group
  std::uint64_t starts_ = 0;
};

}  // namespace edgekit
