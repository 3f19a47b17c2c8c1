// A frame's way into its camera's mailbox.
#include "scheduling/state.hpp"

namespace edgekit {
namespace {

using State = Scheduler::State;
using Life = State::Life;
using Lock = std::unique_lock<std::mutex>;
using std::chrono::nanoseconds;

/// The slot that a submission fills; given back unless it was handed over.
class Filling {
 public:
  Filling(State& state, Camera& camera) : state_(state), camera_(camera) {
    const Lock lock(state_.mutex);
    slot_ = &camera_.mailbox.fill();
  }
  ~Filling() {
    if (slot_ == nullptr) return;
    const Lock lock(state_.mutex);
    slot_->release = {};
    camera_.mailbox.cancel();
  }
  Filling(const Filling&) = delete;
  Filling& operator=(const Filling&) = delete;

  Slot& slot() { return *slot_; }

  /// The slot becomes the frame that waits, unless the scheduler ended meanwhile; what it replaces is given back.
  Expected<std::uint64_t> hand_over(CameraId id, nanoseconds submitted) {
    std::uint64_t sequence = 0;
    Release replaced;
    {
      const Lock lock(state_.mutex);
      if (Status running = not_running(state_); !running) return std::move(running).error();
      camera_.recorder.submitted(state_.turns.waits(id));
      sequence = slot_->sequence = camera_.recorder.received();
      slot_->submitted = submitted;
      slot_ = nullptr;
      replaced = camera_.mailbox.put();
      state_.turns.arrived(id, submitted);
    }
    state_.work.notify_one();
    call(replaced);
    return sequence;
  }

 private:
  State& state_;
  Camera& camera_;
  Slot* slot_ = nullptr;
};

/// A frame that is none, or for which there is no memory.
Error refuse(State& state, Camera& camera, Error error) {
  const Lock lock(state.mutex);
  camera.recorder.refused();
  error.message = "camera '" + camera.options.name + "': " + error.message;
  return error;
}

Status check_frame(const Camera& camera, const Frame& frame) {
  if (Status fits = frame.check(); !fits) return fits;
  const std::size_t most = camera.options.frame_bytes;
  if (most == 0 || packed_bytes(frame) <= most) return {};
  return Error{Code::frame, "a frame of " + std::to_string(packed_bytes(frame)) +
                                " bytes does not fit into frame_bytes " + std::to_string(most) +
                                "; give the camera more, or 0 for as much as its frames need"};
}

}  // namespace

Error no_camera(CameraId camera, std::size_t number) {
  return {Code::invalid_argument,
          "there is no camera " + std::to_string(camera) + "; there are " + std::to_string(number)};
}

Status not_running(const State& state) {
  if (state.life == Life::started) return {};
  if (state.life == Life::made) return Error{Code::not_ready, "the scheduler is not started; call start() first"};
  return Error{Code::not_ready, "the scheduler is stopped; make a new one"};
}

Expected<std::uint64_t> take_frame(State& state, CameraId id, const Frame& frame, const Release* borrowed) {
  const nanoseconds submitted = state.now();
  Camera* camera = nullptr;
  {
    const Lock lock(state.mutex);
    if (id >= state.cameras.size()) return no_camera(id, state.cameras.size());
    if (Status running = not_running(state); !running) return std::move(running).error();
    camera = state.cameras[id].get();
  }
  if (Status fits = check_frame(*camera, frame); !fits) return refuse(state, *camera, std::move(fits).error());
  const Lock one_copy(camera->submitting);
  Filling filling(state, *camera);
  if (borrowed != nullptr) {
    filling.slot().frame = frame;
    filling.slot().release = *borrowed;
  } else if (Status packed = pack(frame, filling.slot()); !packed) {
    return refuse(state, *camera, std::move(packed).error());
  }
  return filling.hand_over(id, submitted);
}

}  // namespace edgekit
