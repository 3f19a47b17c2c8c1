// What the scheduler's threads share. They hold it together, so that a thread that hangs has it for as long as it
// needs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "edgekit/scheduler.hpp"
#include "scheduling/mailbox.hpp"
#include "scheduling/recorder.hpp"
#include "scheduling/turns.hpp"

namespace edgekit {

/// What a thread does with a camera's frame.
enum class Phase : std::uint8_t { idle, processing, calling_back };

struct Camera {
  Camera(CameraOptions asked, std::shared_ptr<Processor> runs, OnResult tells)
      : options(std::move(asked)), processor(std::move(runs)), on_result(std::move(tells)), recorder(options.name) {}

  CameraOptions options;
  std::shared_ptr<Processor> processor;
  OnResult on_result;
  std::mutex submitting;  ///< taken before State::mutex; one copy at a time goes into the mailbox
  Mailbox mailbox;
  Recorder recorder;
  Result result;
  Phase phase = Phase::idle;
  std::chrono::nanoseconds phase_began{};
  std::uint64_t sequence = 0;        ///< of the frame that runs
  std::chrono::nanoseconds limit{};  ///< of that frame
  bool hung = false;
};

struct Scheduler::State {
  explicit State(SchedulerOptions asked)
      : options(std::move(asked)), clock(options.clock == nullptr ? Clock::steady() : *options.clock) {}

  enum class Life : std::uint8_t { made, started, stopping, stopped };

  SchedulerOptions options;
  const Clock& clock;
  std::atomic<bool> complete{false};  ///< `cameras` stays as it is from now on

  // All below is behind this lock, which is never held while anything of a user's runs or a frame is copied; what a
  // recorder hands out needs no lock.
  mutable std::mutex mutex;
  std::condition_variable work;   ///< a frame waits, or the end has come
  std::condition_variable watch;  ///< the end has come
  std::condition_variable quiet;  ///< a frame or a thread has ended
  Life life = Life::made;
  bool left_behind = false;                      ///< stop() has given up: nobody is called back any more
  std::vector<std::unique_ptr<Camera>> cameras;  ///< only grows, before the start
  Turns turns;
  std::vector<std::string> notes;
  std::vector<std::thread> threads;  ///< the pool's, and the watchdog's at the end
  std::vector<bool> ended;           ///< which of them have

  std::chrono::nanoseconds now() const noexcept { return clock.now(); }
  /// Cameras that have a frame, "'front' (in its processor for 5.0 s)"; with the lock.
  std::string busy_cameras() const;
};

/// Puts a frame, a copy or the borrowed one, into the camera's mailbox; returns its number.
Expected<std::uint64_t> take_frame(Scheduler::State& state, CameraId camera, const Frame& frame,
                                   const Release* borrowed);
Error no_camera(CameraId camera, std::size_t number);
/// Nothing, or why no frame is taken; with the lock.
Status not_running(const Scheduler::State& state);
/// A thread of the pool: runs frames until the end. `index` is its place in State::threads.
void run_pool_thread(const std::shared_ptr<Scheduler::State>& state, std::size_t index);
/// The watchdog's.
void run_watchdog(const std::shared_ptr<Scheduler::State>& state, std::size_t index);
/// The state whose callback this thread is in; none: it is in no callback.
const Scheduler::State*& calling_back() noexcept;

}  // namespace edgekit
