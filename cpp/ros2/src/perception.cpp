// A bundle on a camera's topic: a composable lifecycle node. Nothing of Python runs here.
#include <edgekit/bundle.hpp>
#include <edgekit/pipeline.hpp>
#include <edgekit/scheduler.hpp>
#include <memory>
#include <mutex>
#include <rclcpp_components/register_node_macro.hpp>
#include <rclcpp_lifecycle/lifecycle_node.hpp>
#include <sensor_msgs/msg/image.hpp>
#include <string>

#include "diagnostics.hpp"
#include "outputs.hpp"

namespace edgekit::ros {
namespace {

using Image = sensor_msgs::msg::Image;
using Return = rclcpp_lifecycle::node_interfaces::LifecycleNodeInterface::CallbackReturn;

constexpr std::chrono::milliseconds stop_patience{1000};

std::int64_t stamp_of(const std_msgs::msg::Header& header) {
  return static_cast<std::int64_t>(header.stamp.sec) * 1'000'000'000 + header.stamp.nanosec;
}

/// The image of a message, where it lies.
Expected<Frame> frame_of(const Image& message) {
  const Expected<Encoding> encoding = encoding_of(message.encoding);
  if (!encoding) return encoding.error();
  if (message.is_bigendian != 0 && message.encoding.find("16") != std::string::npos) {
    return Error{Code::frame, "encoding '" + message.encoding + "' is big-endian; this machine's order is expected"};
  }
  return Frame{.data = message.data.data(),
               .bytes = message.data.size(),
               .height = static_cast<std::int32_t>(message.height),
               .width = static_cast<std::int32_t>(message.width),
               .stride = static_cast<std::int64_t>(message.step),
               .encoding = *encoding,
               .stamp_ns = stamp_of(message.header)};
}

}  // namespace

/// configure opens and checks the bundle, activate subscribes; deactivate and cleanup release what they took. What goes
/// wrong is said in the log and in the status "engine".
class Perception final : public rclcpp_lifecycle::LifecycleNode {
 public:
  explicit Perception(const rclcpp::NodeOptions& options) : LifecycleNode("edgekit", options) {
    declare_parameter("bundle", "");
    declare_parameter("public_key", "");
    declare_parameter("rate_hz", 30.0);
    declare_parameter("deadline_ms", 100.0);
    declare_parameter("drop_late", false);
    declare_parameter("score_threshold", 0.0);
    declare_parameter("hang_periods", 2.0);
    declare_parameter("scheduler_fifo", 0);
    declare_parameter("lock_memory", false);
    const double period_s = declare_parameter("diagnostics_period_s", 1.0);
    speaker_.label = std::string(get_fully_qualified_name()).substr(1);
    diagnostics_ =
        rclcpp::create_publisher<diagnostic_msgs::msg::DiagnosticArray>(*this, "/diagnostics", rclcpp::QoS(10));
    timer_ = create_wall_timer(std::chrono::duration<double>(period_s), [this] { diagnose(); });
  }

  Return on_configure(const rclcpp_lifecycle::State&) override {
    BundleOptions options;
    const std::string key = get_parameter("public_key").as_string();
    if (!key.empty()) options.trusted_key = key;
    const Expected<Bundle> bundle = Bundle::open(get_parameter("bundle").as_string(), options);
    if (!bundle) return failed(bundle.error());
    Expected<Pipeline> pipeline = Pipeline::of(*bundle);
    if (!pipeline) return failed(pipeline.error());
    pipeline_ = std::make_shared<Pipeline>(*std::move(pipeline));
    speaker_.identity = bundle->name() + "@" + bundle->digest().substr(0, 12);
    speaker_.engine = pipeline_->describe();
    outputs_.emplace(*this, std::vector(bundle->classes().begin(), bundle->classes().end()));
    outputs_->describe(bundle->task(), speaker_.identity, get_parameter("score_threshold").as_double());
    return went_well("configured with " + speaker_.identity + ", " + speaker_.engine);
  }

  Return on_activate(const rclcpp_lifecycle::State& state) override {
    if (const Status started = start(); !started) return failed(started.error());
    subscription_ = create_subscription<Image>("~/input/image", rclcpp::SensorDataQoS(),
                                               [this](Image::ConstSharedPtr message) { receive(std::move(message)); });
    return LifecycleNode::on_activate(state);
  }

  Return on_deactivate(const rclcpp_lifecycle::State& state) override {
    if (const Status stopped = stop(); !stopped) return failed(stopped.error());
    return LifecycleNode::on_deactivate(state);
  }

  Return on_cleanup(const rclcpp_lifecycle::State&) override { return released(); }
  Return on_shutdown(const rclcpp_lifecycle::State&) override { return released(); }
  /// The cause stays in the status "engine" until the node is configured.
  Return on_error(const rclcpp_lifecycle::State&) override {
    const std::string cause = speaker_.failure;
    released();
    speaker_.failure = cause;
    return Return::SUCCESS;
  }

  ~Perception() override { static_cast<void>(stop()); }

 private:
  Status start() {
    const double rate_hz = get_parameter("rate_hz").as_double();
    const auto nanoseconds = [](double seconds) {
      return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
    };
    SchedulerOptions options;
    options.realtime_priority = static_cast<std::int32_t>(get_parameter("scheduler_fifo").as_int());
    options.lock_memory = get_parameter("lock_memory").as_bool();
    options.on_hang = [this](const Hang& hang) {
      RCLCPP_ERROR(get_logger(), "frame %lu hangs: it has run for %.1f ms", static_cast<unsigned long>(hang.sequence),
                   std::chrono::duration<double, std::milli>(hang.running).count());
    };
    Expected<Scheduler> scheduler = Scheduler::create(std::move(options));
    if (!scheduler) return scheduler.error();
    CameraOptions camera;
    camera.name = speaker_.label;
    camera.period = nanoseconds(rate_hz > 0 ? 1.0 / rate_hz : 0.0);
    camera.deadline = nanoseconds(get_parameter("deadline_ms").as_double() / 1e3);
    camera.drop_expired = get_parameter("drop_late").as_bool();
    camera.hang_periods = get_parameter("hang_periods").as_double();
    const Expected<CameraId> added =
        scheduler->add(camera, pipeline_, [this](const Completion& done) { answer(done); });
    if (!added) return added.error();
    if (Status started = scheduler->start(); !started) return started;
    for (const std::string& note : scheduler->notes()) RCLCPP_WARN(get_logger(), "%s", note.c_str());
    camera_ = *added;
    scheduler_.emplace(*std::move(scheduler));
    return {};
  }

  Status stop() {
    subscription_.reset();
    before_.reset();
    if (!scheduler_) return {};
    Status stopped = scheduler_->stop(stop_patience);
    scheduler_.reset();
    return stopped;
  }

  /// On the executor's thread: hands the message over, without a copy.
  void receive(Image::ConstSharedPtr message) {
    const Expected<Frame> frame = frame_of(*message);
    if (!frame) {
      RCLCPP_WARN_THROTTLE(get_logger(), *get_clock(), 5000, "%s", frame.error().message.c_str());
      return;
    }
    {
      const std::scoped_lock lock(mutex_);
      frame_id_ = message->header.frame_id;
    }
    auto held = std::make_unique<Image::ConstSharedPtr>(std::move(message));
    const Release release{[](void* context) { delete static_cast<Image::ConstSharedPtr*>(context); }, held.get()};
    const Expected<std::uint64_t> submitted = scheduler_->submit_borrowed(camera_, *frame, release);
    if (submitted) {
      static_cast<void>(held.release());  // `release` has it now
    } else {
      RCLCPP_WARN_THROTTLE(get_logger(), *get_clock(), 5000, "%s", submitted.error().message.c_str());
    }
  }

  /// On the scheduler's thread.
  void answer(const Completion& done) {
    if (!done.status) {
      RCLCPP_ERROR_THROTTLE(get_logger(), *get_clock(), 5000, "%s", done.status.error().message.c_str());
      return;
    }
    std_msgs::msg::Header header;
    header.stamp.sec = static_cast<std::int32_t>(done.stamp_ns / 1'000'000'000);
    header.stamp.nanosec = static_cast<std::uint32_t>(done.stamp_ns % 1'000'000'000);
    {
      const std::scoped_lock lock(mutex_);
      header.frame_id = frame_id_;  // of the newest frame: a camera has one
    }
    outputs_->publish(done.result, header, get_parameter("score_threshold").as_double());
  }

  void diagnose() {
    std::optional<CameraStatistics> now;
    if (scheduler_) {
      if (Expected<CameraStatistics> found = scheduler_->statistics(camera_)) now = *std::move(found);
    }
    diagnostic_msgs::msg::DiagnosticArray array =
        statuses(speaker_, now ? &*now : nullptr, before_ ? &*before_ : nullptr);
    array.header.stamp = get_clock()->now();
    diagnostics_->publish(array);
    before_ = std::move(now);
  }

  Return went_well(const std::string& message) {
    speaker_.failure.clear();
    RCLCPP_INFO(get_logger(), "%s", message.c_str());
    return Return::SUCCESS;
  }

  Return failed(const Error& error) {
    speaker_.failure = std::string(name_of(error.code)) + ": " + error.message;
    RCLCPP_ERROR(get_logger(), "%s", speaker_.failure.c_str());
    return Return::ERROR;
  }

  Return released() {
    const Status stopped = stop();
    // What hangs keeps the pipeline; the process ends it.
    outputs_.reset();
    pipeline_.reset();
    speaker_.identity.clear();
    speaker_.engine.clear();
    return stopped ? Return::SUCCESS : failed(stopped.error());
  }

  Speaker speaker_;
  std::shared_ptr<Pipeline> pipeline_;
  std::optional<Outputs> outputs_;
  std::optional<Scheduler> scheduler_;
  CameraId camera_ = 0;
  std::optional<CameraStatistics> before_;
  std::mutex mutex_;
  std::string frame_id_;  // guarded by mutex_
  rclcpp::Subscription<Image>::SharedPtr subscription_;
  rclcpp::Publisher<diagnostic_msgs::msg::DiagnosticArray>::SharedPtr diagnostics_;
  rclcpp::TimerBase::SharedPtr timer_;
};

}  // namespace edgekit::ros

RCLCPP_COMPONENTS_REGISTER_NODE(edgekit::ros::Perception)
