// Several cameras on a fixed pool of threads.
//
// Each camera has one place for a frame that waits: the newest wins. Whose turn it is: the highest priority; among
// these the earliest deadline, as long as nobody loses frames; else who has lost the greatest share of its last ones.
// So all cameras of one priority lose the same share of their frames under overload.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "edgekit/frame.hpp"
#include "edgekit/pipeline.hpp"
#include "edgekit/result.hpp"
#include "edgekit/statistics.hpp"
#include "edgekit/status.hpp"

namespace edgekit {

/// Tells the time; a test's may stand still. now() is called by all threads and must not go back.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Since any fixed moment.
  virtual std::chrono::nanoseconds now() const noexcept = 0;
  /// The system's monotonic one, which lives as long as the process.
  static const Clock& steady() noexcept;
};

using CameraId = std::uint32_t;

/// What a frame became. Valid while the callback runs.
struct Completion {
  CameraId camera = 0;                   ///< its number
  std::string_view name;                 ///< the camera's
  std::uint64_t sequence = 0;            ///< number of the frame: that of its submission, from 1
  std::int64_t stamp_ns = 0;             ///< the frame's own
  const Status& status;                  ///< how process() ended
  const Result& result;                  ///< means nothing when status is an error
  Timing timing;                         ///< of the pipeline's stages
  std::chrono::nanoseconds submitted{};  ///< these three on the scheduler's clock
  std::chrono::nanoseconds started{};    ///< taken from the mailbox
  std::chrono::nanoseconds finished{};   ///< the result is there
  bool late = false;                     ///< finished after its deadline
};

/// A processor that does not return.
struct Hang {
  CameraId camera = 0;                 ///< its number
  std::string_view name;               ///< the camera's
  std::uint64_t sequence = 0;          ///< number of the frame
  std::chrono::nanoseconds running{};  ///< for how long so far
  std::chrono::nanoseconds limit{};    ///< what was allowed
};

/// Called by a thread of the pool, one at a time for each camera, before the camera's next frame starts.
using OnResult = std::function<void(const Completion&)>;
/// Called by the watchdog's thread, once a hang.
using OnHang = std::function<void(const Hang&)>;

/// A camera and what its frames may take.
struct CameraOptions {
  std::string name{};                           ///< its own, not empty
  std::int32_t priority = 0;                    ///< higher goes first, always
  std::chrono::nanoseconds period{33'333'333};  ///< from one frame to the next; more than 0
  std::chrono::nanoseconds deadline{0};         ///< from submission to result; 0: the period
  bool drop_expired = true;                     ///< frames whose deadline passed before their start; else they run
  double hang_periods = 2.0;               ///< a frame that runs for so many periods hangs; of its last runs' median
                                           ///< where that is longer, since slow is not hung
  std::chrono::nanoseconds hang_after{0};  ///< that limit as a time; 0: hang_periods has it
  std::size_t frame_bytes = 0;             ///< room for frames without row padding; 0: as the frames need it
};

/// How the threads run.
struct SchedulerOptions {
  std::int32_t threads = 1;            ///< of the pool, without the watchdog's
  std::int32_t realtime_priority = 0;  ///< 1..98: SCHED_FIFO, where it is allowed; the watchdog gets one more
  std::vector<std::int32_t> pin{};     ///< thread i on processor pin[i % size]; empty: anywhere
  bool lock_memory = false;            ///< mlockall, where it is allowed
  OnHang on_hang{};                    ///< may be empty
  const Clock* clock = nullptr;        ///< outlives the scheduler; none: Clock::steady()
};

/// Gives a borrowed frame back; from any thread, exactly once.
struct Release {
  /// Must not throw.
  void (*call)(void* context) = nullptr;
  void* context = nullptr;  ///< what it is given
};

/// Runs cameras. All functions may be called from any thread; add() comes before start(), which comes once.
class Scheduler {
 public:
  /// Code::invalid_argument: the error names value and limits.
  static Expected<Scheduler> create(SchedulerOptions options);

  Scheduler(Scheduler&&) noexcept;
  Scheduler& operator=(Scheduler&&) noexcept;
  /// stop() that waits for a second.
  ~Scheduler();

  /// A camera. Processors that are the same object never run at once, so cameras may share one.
  ///
  /// Code::invalid_argument: name taken or empty, period, deadline; not_ready: after start(); out_of_memory.
  Expected<CameraId> add(CameraOptions options, std::shared_ptr<Processor> processor, OnResult on_result);

  /// Starts the threads. Code::missing_requirement: the system gives no thread; not_ready: the second call.
  /// Whatever of SCHED_FIFO, affinity and locked memory is not allowed stands in notes(), and the rest runs.
  Status start();

  /// Copies a frame into the camera's mailbox; replaces the one that waits there. Allocates nothing once the mailbox
  /// has room. Returns its number. Code::frame: it does not fit; not_ready: not started, or stopped.
  Expected<std::uint64_t> submit(CameraId camera, const Frame& frame);
  /// Without a copy: frame.data stays until `release` is called. After an error it will not be called.
  Expected<std::uint64_t> submit_borrowed(CameraId camera, const Frame& frame, Release release);

  /// Waits until no frame waits or runs. Code::timeout: names the cameras that still have one.
  Status drain(std::chrono::nanoseconds timeout);

  /// Drops what waits, lets what runs end, and ends the threads; no callback runs after it has returned.
  ///
  /// Code::timeout: names the cameras whose processor or callback did not return. Their threads are left behind, with
  /// the memory that they use, and end by themselves if the call ever returns. not_ready: called from a callback.
  Status stop(std::chrono::nanoseconds timeout);

  /// Of one camera, of one moment; stops nobody. Code::invalid_argument: no such camera.
  Expected<CameraStatistics> statistics(CameraId camera) const;
  /// Of all cameras, in the order of their numbers.
  Expected<std::vector<CameraStatistics>> statistics() const;

  /// What the machine did not allow, a line each with the way out; complete once start() has returned.
  std::vector<std::string> notes() const;

  struct State;  ///< the library's own

 private:
  explicit Scheduler(std::shared_ptr<State> state) noexcept;
  std::shared_ptr<State> state_;
};

}  // namespace edgekit
