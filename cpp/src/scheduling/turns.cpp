#include "scheduling/turns.hpp"

#include <algorithm>

namespace edgekit {
namespace {

using std::chrono::nanoseconds;

constexpr double weight = 1.0 / 32;    // of one frame in the share that is lost: about a second at 30 Hz
constexpr double losing_share = 0.05;  // two of the last frames; a single one is no overload

}  // namespace

std::size_t Turns::add(const Claim& claim) {
  busy_.resize(std::max(busy_.size(), claim.group + 1), false);
  cameras_.push_back({.claim = claim});
  return cameras_.size() - 1;
}

void Turns::arrived(std::size_t camera, nanoseconds submitted) {
  Camera& one = cameras_[camera];
  if (one.waits) one.lost += (1.0 - one.lost) * weight;
  one.waits = true;
  one.submitted = submitted;
}

void Turns::dropped(std::size_t camera) {
  Camera& one = cameras_[camera];
  one.waits = false;
  one.lost += (1.0 - one.lost) * weight;
}

void Turns::started(std::size_t camera) {
  Camera& one = cameras_[camera];
  one.waits = false;
  one.lost -= one.lost * weight;
  one.runs = true;
  one.last_start = ++starts_;
  busy_[one.claim.group] = true;
}

void Turns::finished(std::size_t camera) {
  cameras_[camera].runs = false;
  busy_[cameras_[camera].claim.group] = false;
}

bool Turns::expired(std::size_t camera, nanoseconds now) const {
  const Camera& one = cameras_[camera];
  return one.waits && now - one.submitted > one.claim.deadline;
}

bool Turns::idle() const {
  return std::none_of(cameras_.begin(), cameras_.end(), [](const Camera& one) { return one.waits || one.runs; });
}

/// The share that is lost if the camera's frame is not taken now: the next one replaces it at the end of its period.
double Turns::share(const Camera& camera, nanoseconds now) {
  return camera.lost + weight * static_cast<double>((now - camera.submitted).count()) /
                           static_cast<double>(camera.claim.period.count());
}

bool Turns::before(const Camera& one, const Camera& other, nanoseconds now) {
  if (one.claim.priority != other.claim.priority) return one.claim.priority > other.claim.priority;
  const bool losing = one.lost >= losing_share;
  if (losing != (other.lost >= losing_share)) return losing;
  if (losing && share(one, now) != share(other, now)) return share(one, now) > share(other, now);
  const nanoseconds due = one.submitted + one.claim.deadline;
  const nanoseconds other_due = other.submitted + other.claim.deadline;
  return due != other_due ? due < other_due : one.last_start < other.last_start;
}

std::optional<std::size_t> Turns::next(nanoseconds now) const {
  std::optional<std::size_t> best;
  for (std::size_t camera = 0; camera < cameras_.size(); ++camera) {
    const Camera& one = cameras_[camera];
    if (!one.waits || busy_[one.claim.group]) continue;
    if (!best || before(one, cameras_[*best], now)) best = camera;
  }
  return best;
}

}  // namespace edgekit
