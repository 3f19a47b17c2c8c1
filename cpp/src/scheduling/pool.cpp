// The threads that run frames.
#include <algorithm>

#include "scheduling/state.hpp"

namespace edgekit {
namespace {

using State = Scheduler::State;
using Lock = std::unique_lock<std::mutex>;
using std::chrono::nanoseconds;

/// Frames whose deadline is over go before anybody's turn is decided; their releases are kept for after the lock.
void drop_expired(State& state, nanoseconds now, std::vector<Release>& releases) {
  for (std::size_t index = 0; index < state.cameras.size(); ++index) {
    Camera& camera = *state.cameras[index];
    if (!camera.options.drop_expired || !state.turns.expired(index, now)) continue;
    const Release release = camera.mailbox.drop();
    if (release.call != nullptr) releases.push_back(release);
    camera.recorder.dropped(Drop::expired);
    state.turns.dropped(index);
  }
}

/// Of a frame that starts now: slow is not hung, so the last runs' median counts where it is longer than a period.
nanoseconds limit_of(const Camera& camera) {
  if (camera.options.hang_after.count() > 0) return camera.options.hang_after;
  const auto longer = std::max(camera.options.period, camera.recorder.median_run());
  return nanoseconds(static_cast<std::int64_t>(camera.options.hang_periods * static_cast<double>(longer.count())));
}

Slot& begin(State& state, std::size_t index, nanoseconds now) {
  Camera& camera = *state.cameras[index];
  state.turns.started(index);
  Slot& slot = camera.mailbox.take();
  camera.phase = Phase::processing;
  camera.phase_began = now;
  camera.sequence = slot.sequence;
  camera.limit = limit_of(camera);
  camera.recorder.started();
  return slot;
}

/// Tells the camera's owner. What its callback lets out ends there: the next frame is not to blame.
bool told(const State& state, const Camera& camera, const Completion& completion) {
  calling_back() = &state;
  bool well = true;
  try {
    camera.on_result(completion);
  } catch (...) {
    well = false;
  }
  calling_back() = nullptr;
  return well;
}

/// One frame from its start to its callback's end; comes and goes with the lock.
void run(State& state, std::size_t index, Lock& lock, std::vector<Release>& releases) {
  Camera& camera = *state.cameras[index];
  const nanoseconds began = state.now();
  const Slot& slot = begin(state, index, began);
  lock.unlock();
  for (const Release& release : releases) call(release);
  releases.clear();

  const Status status = camera.processor->process(slot.frame, camera.result);
  const nanoseconds end = state.now();
  const Run made{.sequence = slot.sequence,
                 .code = status ? Code::ok : status.error().code,
                 .late = end - slot.submitted > camera.options.deadline,
                 .timing = camera.processor->timing(),
                 .submitted = slot.submitted,
                 .started = began,
                 .finished = end};
  const std::int64_t stamp_ns = slot.frame.stamp_ns;

  lock.lock();
  const Release release = camera.mailbox.done();
  camera.recorder.finished(made);
  camera.hung = false;
  camera.phase = Phase::calling_back;
  camera.phase_began = end;
  const bool wanted = camera.on_result && !state.left_behind;
  lock.unlock();
  call(release);
  const Completion completion{.camera = static_cast<CameraId>(index),
                              .name = camera.options.name,
                              .sequence = made.sequence,
                              .stamp_ns = stamp_ns,
                              .status = status,
                              .result = camera.result,
                              .timing = made.timing,
                              .submitted = made.submitted,
                              .started = made.started,
                              .finished = made.finished,
                              .late = made.late};
  const bool well = !wanted || told(state, camera, completion);

  lock.lock();
  if (!well) camera.recorder.callback_failed();
  camera.phase = Phase::idle;
  state.turns.finished(index);
  state.quiet.notify_all();
}

}  // namespace

const Scheduler::State*& calling_back() noexcept {
  thread_local const Scheduler::State* state = nullptr;
  return state;
}

void run_pool_thread(const std::shared_ptr<State>& state, std::size_t index) {
  std::vector<Release> releases;
  releases.reserve(state->cameras.size());
  Lock lock(state->mutex);
  while (state->life == State::Life::started) {
    drop_expired(*state, state->now(), releases);
    if (const auto camera = state->turns.next(state->now())) {
      run(*state, *camera, lock, releases);
    } else if (!releases.empty()) {
      lock.unlock();
      for (const Release& release : releases) call(release);
      releases.clear();
      lock.lock();
    } else {
      if (state->turns.idle()) state->quiet.notify_all();
      state->work.wait(lock);
    }
  }
  state->ended[index] = true;
  state->quiet.notify_all();
}

}  // namespace edgekit
