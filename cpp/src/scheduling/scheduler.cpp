#include "edgekit/scheduler.hpp"

#include <pthread.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <system_error>
#include <utility>

#include "core/no_memory.hpp"
#include "scheduling/realtime.hpp"
#include "scheduling/state.hpp"

namespace edgekit {
namespace {

using State = Scheduler::State;
using Life = State::Life;
using Lock = std::unique_lock<std::mutex>;
using std::chrono::nanoseconds;

constexpr std::int32_t most_threads = 256;
constexpr std::int32_t most_fifo = 98;  // the watchdog has one more

class Steady final : public Clock {
 public:
  nanoseconds now() const noexcept override { return std::chrono::steady_clock::now().time_since_epoch(); }
};

Error wrong(std::string message) { return {Code::invalid_argument, std::move(message)}; }

std::string text_of(nanoseconds time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", std::chrono::duration<double>(time).count());
  return text;
}

/// Calls with the cameras. Once started, no camera comes any more, and nobody waits for the lock to read of one.
template <class Function>
auto with_cameras(const State& state, Function function) {
  Lock lock(state.mutex, std::defer_lock);
  if (!state.complete.load(std::memory_order_acquire)) lock.lock();
  return function(state.cameras);
}

/// Runs what may throw on the way out of memory or threads.
template <class Function>
auto guarded(const char* what, Function function) -> decltype(function()) {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return described(Code::out_of_memory, [what] { return std::string("no memory ") + what; });
  } catch (const std::system_error& error) {
    return Error{Code::missing_requirement, std::string("the system refused ") + what + ": " + error.what()};
  }
}

Status check(const State& state, const CameraOptions& options, const Processor* processor) {
  if (processor == nullptr) return wrong("camera '" + options.name + "' has no processor (a null pointer)");
  if (options.name.empty()) return wrong("a camera's name is empty; results and statistics are told by it");
  for (const auto& camera : state.cameras) {
    if (camera->options.name == options.name) {
      return wrong("a camera '" + options.name + "' is there already; names are unique");
    }
  }
  const std::string camera = "camera '" + options.name + "': ";
  if (options.period.count() <= 0) return wrong(camera + "its period is 0 or less; expected the time between frames");
  if (options.deadline.count() < 0) return wrong(camera + "its deadline is less than 0; 0 stands for the period");
  if (options.hang_after.count() < 0) return wrong(camera + "hang_after is less than 0; 0 stands for hang_periods");
  if (!(options.hang_periods >= 1.0 && options.hang_periods <= 1000.0)) {
    return wrong(camera + "hang_periods is " + std::to_string(options.hang_periods) + "; expected 1 to 1000");
  }
  return {};
}

/// Everything that waits is dropped; `releases` has room for what is to be given back after the lock.
void drop_waiting(State& state, std::vector<Release>& releases) {
  for (std::size_t index = 0; index < state.cameras.size(); ++index) {
    if (!state.turns.waits(index)) continue;
    releases.push_back(state.cameras[index]->mailbox.drop());
    state.cameras[index]->recorder.dropped(Drop::stopped);
    state.turns.dropped(index);
  }
}

void prepare_thread(State& state, std::thread& thread, std::size_t index, bool watchdog) {
  const std::string name = watchdog ? "edgekit-watch" : "edgekit-" + std::to_string(index);
  pthread_setname_np(thread.native_handle(), name.c_str());
  const auto note = [&state](std::string said) {
    const bool known = std::find(state.notes.begin(), state.notes.end(), said) != state.notes.end();
    if (!said.empty() && !known) state.notes.push_back(std::move(said));
  };
  if (state.options.realtime_priority > 0) {
    const std::string said = take_fifo(thread.native_handle(), state.options.realtime_priority + (watchdog ? 1 : 0));
    if (!watchdog) note(said);  // the same refusal, one priority higher
  }
  const std::vector<std::int32_t>& pin = state.options.pin;
  if (!watchdog && !pin.empty()) note(take_processor(thread.native_handle(), pin[index % pin.size()]));
}

/// Ends what start() has begun when a thread could not be had.
void give_up(State& state, Lock& lock) {
  state.life = Life::stopped;
  state.work.notify_all();
  state.watch.notify_all();
  std::vector<std::thread> threads = std::exchange(state.threads, {});
  lock.unlock();
  for (std::thread& thread : threads) thread.join();
}

/// Lets what runs end, for at most so long, and the threads with it; whether they all did.
bool end_threads(State& state, Lock& lock, nanoseconds timeout) {
  const auto all_ended = [&state] {
    return std::find(state.ended.begin(), state.ended.end(), false) == state.ended.end();
  };
  const bool well = state.quiet.wait_for(lock, timeout, all_ended);
  state.left_behind = !well;
  std::vector<std::thread> threads = std::exchange(state.threads, {});
  for (std::size_t index = 0; index < threads.size(); ++index) {
    if (!state.ended[index]) {
      threads[index].detach();
      continue;
    }
    lock.unlock();  // it has its last lines before it
    threads[index].join();
    lock.lock();
  }
  state.life = Life::stopped;
  state.quiet.notify_all();
  return well;
}

/// From now on nothing starts; with the lock, which is not held while borrowed frames are given back.
void begin_to_stop(State& state, Lock& lock) {
  std::vector<Release> releases;
  releases.reserve(state.cameras.size());
  state.life = Life::stopping;
  drop_waiting(state, releases);
  state.work.notify_all();
  state.watch.notify_all();
  lock.unlock();
  for (const Release& release : releases) call(release);
  lock.lock();
}

}  // namespace

const Clock& Clock::steady() noexcept {
  static const Steady clock;
  return clock;
}

std::string Scheduler::State::busy_cameras() const {
  std::string names;
  for (std::size_t index = 0; index < cameras.size(); ++index) {
    const Camera& camera = *cameras[index];
    if (!turns.waits(index) && !turns.runs(index)) continue;
    names += (names.empty() ? "camera '" : ", camera '") + camera.options.name + "' (";
    if (camera.phase == Phase::idle) {
      names += "its frame waits)";
      continue;
    }
    names += camera.phase == Phase::processing ? "in its processor" : "in its callback";
    names += " for " + text_of(now() - camera.phase_began) + ")";
  }
  return names;
}

Scheduler::Scheduler(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}
Scheduler::Scheduler(Scheduler&&) noexcept = default;

Scheduler& Scheduler::operator=(Scheduler&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

Scheduler::~Scheduler() {
  if (!state_) return;
  const Status stopped = stop(std::chrono::seconds(1));
  if (stopped || stopped.error().code != Code::not_ready) return;
  // From a callback: its thread cannot wait for itself.
  (void)guarded("to stop", [&]() -> Status {
    Lock lock(state_->mutex);
    if (state_->life != Life::started) return {};
    begin_to_stop(*state_, lock);
    end_threads(*state_, lock, nanoseconds(0));
    return {};
  });
}

Expected<Scheduler> Scheduler::create(SchedulerOptions options) {
  return guarded("for a scheduler", [&]() -> Expected<Scheduler> {
    if (options.threads < 1 || options.threads > most_threads) {
      return wrong("threads is " + std::to_string(options.threads) + "; expected 1 to " + std::to_string(most_threads));
    }
    if (options.realtime_priority < 0 || options.realtime_priority > most_fifo) {
      return wrong("realtime_priority is " + std::to_string(options.realtime_priority) + "; expected 1 to " +
                   std::to_string(most_fifo) + ", or 0 for none");
    }
    return Scheduler(std::make_shared<State>(std::move(options)));
  });
}

Expected<CameraId> Scheduler::add(CameraOptions options, std::shared_ptr<Processor> processor, OnResult on_result) {
  return guarded("for a camera", [&]() -> Expected<CameraId> {
    const Lock lock(state_->mutex);
    if (state_->life != Life::made) return Error{Code::not_ready, "cameras are added before start()"};
    if (Status fits = check(*state_, options, processor.get()); !fits) return std::move(fits).error();
    if (options.deadline.count() == 0) options.deadline = options.period;
    std::size_t group = 0;  // that of the first camera with this processor
    while (group < state_->cameras.size() && state_->cameras[group]->processor != processor) ++group;
    auto camera = std::make_unique<Camera>(std::move(options), std::move(processor), std::move(on_result));
    const CameraOptions& asked = camera->options;
    if (asked.frame_bytes > 0) {
      if (Status made = camera->mailbox.reserve(asked.frame_bytes); !made) return std::move(made).error();
    }
    state_->cameras.reserve(state_->cameras.size() + 1);
    const std::size_t index = state_->turns.add({asked.priority, asked.period, asked.deadline, group});
    state_->cameras.push_back(std::move(camera));
    return static_cast<CameraId>(index);
  });
}

Status Scheduler::start() {
  return guarded("threads for the pool", [&]() -> Status {
    Lock lock(state_->mutex);
    if (state_->life != Life::made) return Error{Code::not_ready, "start() comes once"};
    if (state_->options.lock_memory) {
      if (std::string said = lock_memory(); !said.empty()) state_->notes.push_back(std::move(said));
    }
    const auto pool = static_cast<std::size_t>(state_->options.threads);
    state_->threads.reserve(pool + 1);
    state_->ended.assign(pool + 1, false);
    state_->complete.store(true, std::memory_order_release);
    state_->life = Life::started;
    try {
      for (std::size_t index = 0; index <= pool; ++index) {
        const bool watchdog = index == pool;
        state_->threads.emplace_back(watchdog ? run_watchdog : run_pool_thread, state_, index);
        prepare_thread(*state_, state_->threads.back(), index, watchdog);
      }
    } catch (...) {
      give_up(*state_, lock);
      throw;
    }
    return {};
  });
}

Expected<std::uint64_t> Scheduler::submit(CameraId camera, const Frame& frame) {
  return guarded("for a frame", [&] { return take_frame(*state_, camera, frame, nullptr); });
}

Expected<std::uint64_t> Scheduler::submit_borrowed(CameraId camera, const Frame& frame, Release release) {
  return guarded("for a frame", [&] { return take_frame(*state_, camera, frame, &release); });
}

Status Scheduler::drain(nanoseconds timeout) {
  return guarded("to wait", [&]() -> Status {
    Lock lock(state_->mutex);
    if (calling_back() == state_.get())
      return Error{Code::not_ready, "drain() was called from a callback, which it waits for"};
    if (Status running = not_running(*state_); !running) return running;
    if (state_->quiet.wait_for(lock, timeout, [&] { return state_->turns.idle(); })) return {};
    return Error{Code::timeout, "not idle after " + text_of(timeout) + ": " + state_->busy_cameras()};
  });
}

Status Scheduler::stop(nanoseconds timeout) {
  return guarded("to stop", [&]() -> Status {
    if (calling_back() == state_.get())
      return Error{Code::not_ready, "stop() was called from a callback, which it waits for"};
    Lock lock(state_->mutex);
    if (state_->life == Life::made) state_->life = Life::stopped;
    if (state_->life == Life::stopping) {  // somebody else stops it
      state_->quiet.wait_for(lock, timeout, [&] { return state_->life == Life::stopped; });
    }
    if (state_->life == Life::stopped) return {};
    if (state_->life == Life::stopping) return Error{Code::timeout, "another stop() is still waiting"};
    begin_to_stop(*state_, lock);
    if (end_threads(*state_, lock, timeout)) return {};
    const std::string busy = state_->busy_cameras();
    return Error{Code::timeout, "not stopped after " + text_of(timeout) + ": " +
                                    (busy.empty() ? std::string("the callback of hangs") : busy) +
                                    " did not return; its thread is left behind and ends if the call ever does"};
  });
}

Expected<CameraStatistics> Scheduler::statistics(CameraId camera) const {
  return guarded("for statistics", [&]() -> Expected<CameraStatistics> {
    return with_cameras(*state_, [&](const auto& cameras) -> Expected<CameraStatistics> {
      if (camera >= cameras.size()) return no_camera(camera, cameras.size());
      return cameras[camera]->recorder.snapshot(state_->now());
    });
  });
}

Expected<std::vector<CameraStatistics>> Scheduler::statistics() const {
  return guarded("for statistics", [&]() -> Expected<std::vector<CameraStatistics>> {
    return with_cameras(*state_, [&](const auto& cameras) {
      std::vector<CameraStatistics> made;
      made.reserve(cameras.size());
      for (const auto& camera : cameras) made.push_back(camera->recorder.snapshot(state_->now()));
      return made;
    });
  });
}

std::vector<std::string> Scheduler::notes() const {
  const Lock lock(state_->mutex);
  return state_->notes;
}

}  // namespace edgekit
