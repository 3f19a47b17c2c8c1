// Looks after frames that run for too long.
#include <algorithm>

#include "scheduling/state.hpp"

namespace edgekit {
namespace {

using State = Scheduler::State;
using std::chrono::nanoseconds;

/// Half of the shortest period: what hangs is seen within a period after its limit. A frame that starts need not wake
/// the watchdog then, which would cost each of them a call of the system.
nanoseconds tick_of(const State& state) {
  nanoseconds tick = std::chrono::milliseconds(100);
  for (const auto& camera : state.cameras) tick = std::min(tick, camera->options.period / 2);
  return std::max<nanoseconds>(tick, std::chrono::microseconds(500));
}

/// Marks who hangs since the last look.
void look(State& state, nanoseconds now, std::vector<Hang>& found) {
  for (std::size_t index = 0; index < state.cameras.size(); ++index) {
    Camera& camera = *state.cameras[index];
    const nanoseconds running = now - camera.phase_began;
    if (camera.phase != Phase::processing || camera.hung || running <= camera.limit) continue;
    camera.hung = true;
    camera.recorder.hung();
    found.push_back({.camera = static_cast<CameraId>(index),
                     .name = camera.options.name,
                     .sequence = camera.sequence,
                     .running = running,
                     .limit = camera.limit});
  }
}

void tell(const State& state, const std::vector<Hang>& found) {
  calling_back() = &state;
  for (const Hang& hang : found) {
    try {
      state.options.on_hang(hang);
    } catch (...) {  // the watch goes on; the statistics have the hang
    }
  }
  calling_back() = nullptr;
}

}  // namespace

void run_watchdog(const std::shared_ptr<State>& state, std::size_t index) {
  std::vector<Hang> found;
  found.reserve(state->cameras.size());
  std::unique_lock<std::mutex> lock(state->mutex);
  const nanoseconds tick = tick_of(*state);
  while (state->life == State::Life::started) {
    look(*state, state->now(), found);
    if (!found.empty() && state->options.on_hang && !state->left_behind) {
      lock.unlock();
      tell(*state, found);
      lock.lock();
    }
    found.clear();
    if (state->life == State::Life::started) state->watch.wait_for(lock, tick);
  }
  state->ended[index] = true;
  state->quiet.notify_all();
}

}  // namespace edgekit
