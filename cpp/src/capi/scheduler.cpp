#include "edgekit/scheduler.hpp"

#include <algorithm>
#include <memory>
#include <string>

#include "capi/calls.hpp"
#include "capi/handles.hpp"

using edgekit::CameraOptions;
using edgekit::Code;
using edgekit::Completion;
using edgekit::Error;
using edgekit::Expected;
using edgekit::Frame;
using edgekit::Percentiles;
using edgekit::Processor;
using edgekit::Scheduler;
using edgekit::Stage;
using edgekit::Status;
using edgekit::capi::completion_of;
using edgekit::capi::ended;
using edgekit::capi::fail;
using edgekit::capi::frame_of;
using edgekit::capi::give;
using edgekit::capi::guarded;
using edgekit::capi::taken;
using Nanoseconds = std::chrono::nanoseconds;

namespace {

/// A caller's pipeline, which becomes the scheduler's when it was added.
class Lent final : public Processor {
 public:
  explicit Lent(edgekit_pipeline* handle) : handle_(handle) {}
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;
  ~Lent() override {
    if (!ours_) [[maybe_unused]]
      edgekit_pipeline* stays = handle_.release();
  }
  Status process(const Frame& frame, edgekit::Result& result) noexcept override {
    return handle_->pipeline.process(frame, result);
  }
  edgekit::Timing timing() const noexcept override { return handle_->pipeline.timing(); }
  void keep() noexcept { ours_ = true; }

 private:
  std::unique_ptr<edgekit_pipeline> handle_;
  bool ours_ = false;
};

edgekit_status no_scheduler() { return fail(Code::invalid_argument, "scheduler is a null pointer; create one first"); }

edgekit::OnHang on_hang_of(const edgekit_scheduler_options& options) {
  if (options.on_hang == nullptr) return {};
  return [call = options.on_hang, context = options.context](const edgekit::Hang& hang) {
    const std::string name(hang.name);
    const edgekit_hang made{sizeof(edgekit_hang), hang.camera,       0, name.c_str(), hang.sequence,
                            hang.running.count(), hang.limit.count()};
    call(context, &made);
  };
}

Expected<edgekit::SchedulerOptions> options_of(const edgekit_scheduler_options* given) {
  const Expected<edgekit_scheduler_options> options = taken(given, "options");
  if (!options) return options.error();
  edgekit::SchedulerOptions made;
  made.threads = options->threads;
  made.realtime_priority = options->realtime_priority;
  if (options->pin != nullptr) made.pin.assign(options->pin, options->pin + options->pin_count);
  made.lock_memory = options->lock_memory != 0;
  made.on_hang = on_hang_of(*options);
  return made;
}

Expected<CameraOptions> options_of(const edgekit_camera_options* given) {
  const Expected<edgekit_camera_options> options = taken(given, "options");
  if (!options) return options.error();
  if (options->name == nullptr) return Error{Code::invalid_argument, "options.name is a null pointer; name the camera"};
  CameraOptions made;
  made.name = options->name;
  made.priority = options->priority;
  made.drop_expired = options->keep_expired == 0;
  if (options->period_ns != 0) made.period = Nanoseconds(options->period_ns);
  made.deadline = Nanoseconds(options->deadline_ns);
  made.hang_after = Nanoseconds(options->hang_after_ns);
  made.frame_bytes = options->frame_bytes;
  return made;
}

edgekit_percentiles percentiles_of(const Percentiles& of) noexcept {
  return {of.p50.count(), of.p90.count(), of.p99.count(), of.p999.count(), of.most.count()};
}

/// A text into a caller's buffer, cut where it is too small, with a zero at its end.
edgekit_status write(std::string_view text, char* buffer, std::size_t size, std::size_t* needed) noexcept {
  if (needed != nullptr) *needed = text.size() + 1;
  if (size == 0) return EDGEKIT_OK;
  if (buffer == nullptr) return fail(Code::invalid_argument, "buffer is a null pointer; give one, or size 0");
  const std::size_t length = std::min(text.size(), size - 1);
  std::copy_n(text.data(), length, buffer);
  buffer[length] = '\0';
  return EDGEKIT_OK;
}

edgekit_status submitted(const Expected<std::uint64_t>& number, std::uint64_t* sequence) noexcept {
  if (!number) return fail(number.error());
  if (sequence != nullptr) *sequence = *number;
  return EDGEKIT_OK;
}

}  // namespace

edgekit_completion edgekit::capi::completion_of(const Completion& done) noexcept {
  edgekit_completion made = EDGEKIT_INIT(edgekit_completion);
  made.camera = done.camera;
  made.status = done.status ? EDGEKIT_OK : static_cast<edgekit_status>(done.status.error().code);
  made.name = done.name.data();  // a camera's std::string, so it ends with a zero
  made.error = done.status ? "" : done.status.error().message.c_str();
  made.result = done.status ? lent(done.result) : nullptr;
  made.sequence = done.sequence;
  made.stamp_ns = done.stamp_ns;
  made.submitted_ns = done.submitted.count();
  made.started_ns = done.started.count();
  made.finished_ns = done.finished.count();
  made.preprocess_ns = done.timing.preprocess.count();
  made.engine_ns = done.timing.engine.count();
  made.postprocess_ns = done.timing.postprocess.count();
  made.late = done.late ? 1 : 0;
  return made;
}

edgekit_status edgekit_scheduler_create(const edgekit_scheduler_options* options,
                                        edgekit_scheduler** scheduler) noexcept {
  if (scheduler == nullptr) {
    return fail(Code::invalid_argument, "scheduler is a null pointer; give a place for the handle");
  }
  *scheduler = nullptr;
  return guarded([&]() -> edgekit_status {
    Expected<edgekit::SchedulerOptions> how = options_of(options);
    if (!how) return fail(how.error());
    Expected<Scheduler> made = Scheduler::create(std::move(*how));
    if (!made) return fail(made.error());
    *scheduler = std::make_unique<edgekit_scheduler>(edgekit_scheduler{std::move(*made)}).release();
    return EDGEKIT_OK;
  });
}

void edgekit_scheduler_close(edgekit_scheduler* scheduler) noexcept {
  const std::unique_ptr<edgekit_scheduler> gone(scheduler);
}

edgekit_status edgekit_scheduler_add(edgekit_scheduler* scheduler, const edgekit_camera_options* options,
                                     edgekit_pipeline* pipeline, edgekit_on_result on_result, void* context,
                                     uint32_t* camera) noexcept {
  return guarded([&]() -> edgekit_status {
    if (scheduler == nullptr) return no_scheduler();
    if (pipeline == nullptr || on_result == nullptr || camera == nullptr) {
      return fail(Code::invalid_argument, "pipeline, on_result or camera is a null pointer");
    }
    Expected<CameraOptions> how = options_of(options);
    if (!how) return fail(how.error());
    const auto processor = std::make_shared<Lent>(pipeline);
    const Expected<edgekit::CameraId> added =
        scheduler->scheduler.add(std::move(*how), processor, [on_result, context](const Completion& done) {
          const edgekit_completion made = completion_of(done);
          on_result(context, &made);
        });
    if (!added) return fail(added.error());
    processor->keep();
    *camera = *added;
    return EDGEKIT_OK;
  });
}

edgekit_status edgekit_scheduler_start(edgekit_scheduler* scheduler) noexcept {
  return guarded(
      [&]() -> edgekit_status { return scheduler == nullptr ? no_scheduler() : ended(scheduler->scheduler.start()); });
}

edgekit_status edgekit_scheduler_submit(edgekit_scheduler* scheduler, uint32_t camera, const edgekit_frame* frame,
                                        uint64_t* sequence) noexcept {
  return guarded([&]() -> edgekit_status {
    if (scheduler == nullptr) return no_scheduler();
    const Expected<Frame> given = frame_of(frame);
    if (!given) return fail(given.error());
    return submitted(scheduler->scheduler.submit(camera, *given), sequence);
  });
}

edgekit_status edgekit_scheduler_submit_borrowed(edgekit_scheduler* scheduler, uint32_t camera,
                                                 const edgekit_frame* frame, void (*release)(void* context),
                                                 void* context, uint64_t* sequence) noexcept {
  return guarded([&]() -> edgekit_status {
    if (scheduler == nullptr) return no_scheduler();
    if (release == nullptr) return fail(Code::invalid_argument, "release is a null pointer; who gives the frame back?");
    const Expected<Frame> given = frame_of(frame);
    if (!given) return fail(given.error());
    return submitted(scheduler->scheduler.submit_borrowed(camera, *given, {release, context}), sequence);
  });
}

edgekit_status edgekit_scheduler_drain(edgekit_scheduler* scheduler, int64_t timeout_ns) noexcept {
  return guarded([&]() -> edgekit_status {
    return scheduler == nullptr ? no_scheduler() : ended(scheduler->scheduler.drain(Nanoseconds(timeout_ns)));
  });
}

edgekit_status edgekit_scheduler_stop(edgekit_scheduler* scheduler, int64_t timeout_ns) noexcept {
  return guarded([&]() -> edgekit_status {
    return scheduler == nullptr ? no_scheduler() : ended(scheduler->scheduler.stop(Nanoseconds(timeout_ns)));
  });
}

edgekit_status edgekit_scheduler_statistics(const edgekit_scheduler* scheduler, uint32_t camera,
                                            edgekit_camera_statistics* statistics) noexcept {
  return guarded([&]() -> edgekit_status {
    if (scheduler == nullptr) return no_scheduler();
    const Expected<edgekit::CameraStatistics> now = scheduler->scheduler.statistics(camera);
    if (!now) return fail(now.error());
    edgekit_camera_statistics made = EDGEKIT_INIT(edgekit_camera_statistics);
    made.received = now->received;
    made.refused = now->refused;
    made.answered = now->answered;
    made.late = now->late;
    made.replaced = now->of(edgekit::Drop::replaced);
    made.expired = now->of(edgekit::Drop::expired);
    made.stopped = now->of(edgekit::Drop::stopped);
    made.failed = now->failed();
    made.hangs = now->hangs;
    made.waiting = now->waiting;
    made.running = now->running;
    made.hung = now->hung ? 1 : 0;
    made.rate_hz = now->rate_hz;
    made.last_result_age_ns = now->last_result_age.count();
    made.last_sequence = now->last_sequence;
    made.wait = percentiles_of(now->of(Stage::wait));
    made.preprocess = percentiles_of(now->of(Stage::preprocess));
    made.engine = percentiles_of(now->of(Stage::engine));
    made.postprocess = percentiles_of(now->of(Stage::postprocess));
    made.total = percentiles_of(now->of(Stage::total));
    return give(made, statistics, "statistics");
  });
}

edgekit_status edgekit_scheduler_prometheus(const edgekit_scheduler* scheduler, char* buffer, size_t size,
                                            size_t* needed) noexcept {
  return guarded([&]() -> edgekit_status {
    if (scheduler == nullptr) return no_scheduler();
    const Expected<std::vector<edgekit::CameraStatistics>> cameras = scheduler->scheduler.statistics();
    if (!cameras) return fail(cameras.error());
    const Expected<std::string> text = edgekit::prometheus_text(*cameras);
    if (!text) return fail(text.error());
    return write(*text, buffer, size, needed);
  });
}

edgekit_status edgekit_scheduler_notes(const edgekit_scheduler* scheduler, char* buffer, size_t size,
                                       size_t* needed) noexcept {
  return guarded([&]() -> edgekit_status {
    if (scheduler == nullptr) return no_scheduler();
    std::string text;
    for (const std::string& note : scheduler->scheduler.notes()) text += note + "\n";
    return write(text, buffer, size, needed);
  });
}
