#include "outputs.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <sensor_msgs/msg/image.hpp>
#include <vision_msgs/msg/classification.hpp>
#include <vision_msgs/msg/detection2_d_array.hpp>
#include <vision_msgs/msg/label_info.hpp>
#include <vision_msgs/msg/vision_info.hpp>

namespace edgekit::ros {
namespace {

using Header = std_msgs::msg::Header;
using Image = sensor_msgs::msg::Image;

std::unique_ptr<Image> image(const Header& header, std::size_t height, std::size_t width, const char* encoding,
                             std::size_t pixel_bytes) {
  auto message = std::make_unique<Image>();
  message->header = header;
  message->height = static_cast<std::uint32_t>(height);
  message->width = static_cast<std::uint32_t>(width);
  message->encoding = encoding;
  message->step = static_cast<std::uint32_t>(width * pixel_bytes);
  message->data.resize(height * width * pixel_bytes);
  return message;
}

/// A name as it may stand in a topic.
std::string topic_name(const std::string& name) {
  const auto plain = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9');
  };
  std::string made;
  for (const char letter : name) made += plain(letter) ? letter : '_';
  return !made.empty() && made.front() >= '0' && made.front() <= '9' ? "_" + made : made;
}

}  // namespace

Outputs::Outputs(rclcpp_lifecycle::LifecycleNode& node, std::vector<std::string> classes)
    : node_(node), classes_(std::move(classes)) {}

template <class Message>
rclcpp::Publisher<Message>& Outputs::publisher(const std::string& topic, const rclcpp::QoS& qos) {
  rclcpp::PublisherBase::SharedPtr& place = publishers_[topic];
  if (!place) place = rclcpp::create_publisher<Message>(node_, "~/output/" + topic, qos);
  return static_cast<rclcpp::Publisher<Message>&>(*place);
}

void Outputs::describe(const std::string& task, const std::string& identity, double threshold) {
  const rclcpp::QoS latched = rclcpp::QoS(1).reliable().transient_local();
  vision_msgs::msg::VisionInfo info;
  info.method = task;
  info.database_location = identity;
  publisher<vision_msgs::msg::VisionInfo>("vision_info", latched).publish(info);
  if (classes_.empty()) return;
  vision_msgs::msg::LabelInfo labels;
  labels.threshold = static_cast<float>(threshold);
  for (std::size_t label = 0; label < classes_.size(); ++label) {
    labels.class_map.emplace_back();
    labels.class_map.back().class_id = static_cast<std::uint16_t>(label);
    labels.class_map.back().class_name = classes_[label];
  }
  publisher<vision_msgs::msg::LabelInfo>("label_info", latched).publish(labels);
}

void Outputs::publish(const Result& result, const Header& header, double threshold) {
  threshold_ = threshold;
  publish_part(result, header, "");
}

void Outputs::publish_part(const Result& result, const Header& header, const std::string& prefix) {
  if (const auto* map = result.get<LabelMap>()) {
    mask(*map, header, prefix);
  } else if (const auto* found = result.get<Detections>()) {
    detections(*found, header, prefix);
  } else if (const auto* scores = result.get<ClassScores>()) {
    classification(*scores, header, prefix);
  } else if (const auto* embedding = result.get<Embedding>()) {
    numbers(embedding->vector.data(), 1, embedding->vector.size(), header, prefix + "embedding");
  } else if (const auto* values = result.get<Values>()) {
    numbers(values->values.data(), 1, values->values.size(), header, prefix + "values");
  } else if (const auto* tensors = result.get<Tensors>()) {
    for (std::size_t index = 0; index < tensors->names.size(); ++index) {
      tensor(tensors->tensors[index].view(), header, prefix + topic_name(tensors->names[index]));
    }
  } else if (const auto* several = result.get<Several>()) {
    for (const Part& part : several->parts) publish_part(part.result, header, topic_name(part.name) + "/");
  }
}

void Outputs::mask(const LabelMap& map, const Header& header, const std::string& prefix) {
  auto message = image(header, static_cast<std::size_t>(map.height), static_cast<std::size_t>(map.width), "mono8", 1);
  std::copy(map.labels.begin(), map.labels.end(), message->data.begin());
  publisher<Image>(prefix + "mask").publish(std::move(message));
}

void Outputs::detections(const Detections& found, const Header& header, const std::string& prefix) {
  auto message = std::make_unique<vision_msgs::msg::Detection2DArray>();
  message->header = header;
  for (std::size_t index = 0; index < found.boxes.size(); ++index) {
    if (found.scores[index] < threshold_) continue;
    const auto [left, top, right, bottom] = found.boxes[index];
    vision_msgs::msg::Detection2D& one = message->detections.emplace_back();
    one.header = header;
    one.bbox.center.position.x = (left + right) / 2.0;
    one.bbox.center.position.y = (top + bottom) / 2.0;
    one.bbox.size_x = right - left;
    one.bbox.size_y = bottom - top;
    one.results.emplace_back();
    one.results.back().hypothesis.class_id = class_name(found.labels[index]);
    one.results.back().hypothesis.score = found.scores[index];
  }
  publisher<vision_msgs::msg::Detection2DArray>(prefix + "detections").publish(std::move(message));
}

void Outputs::classification(const ClassScores& scores, const Header& header, const std::string& prefix) {
  std::vector<std::size_t> order(scores.probabilities.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&scores](std::size_t one, std::size_t other) {
    return scores.probabilities[one] > scores.probabilities[other];
  });
  auto message = std::make_unique<vision_msgs::msg::Classification>();
  message->header = header;
  for (const std::size_t label : order) {
    message->results.emplace_back();
    message->results.back().class_id = class_name(static_cast<std::int64_t>(label));
    message->results.back().score = scores.probabilities[label];
  }
  publisher<vision_msgs::msg::Classification>(prefix + "classification").publish(std::move(message));
}

template <class Number>
void Outputs::numbers(const Number* values, std::size_t rows, std::size_t columns, const Header& header,
                      const std::string& topic) {
  auto message = image(header, rows, columns, "32FC1", sizeof(float));
  for (std::size_t index = 0; index < rows * columns; ++index) {
    const auto value = static_cast<float>(values[index]);
    std::memcpy(&message->data[index * sizeof(float)], &value, sizeof(float));
  }
  publisher<Image>(topic).publish(std::move(message));
}

void Outputs::tensor(const TensorView& view, const Header& header, const std::string& topic) {
  const auto elements = static_cast<std::size_t>(view.shape.elements());
  const std::size_t rank = view.shape.rank();
  const std::size_t columns = rank == 0 ? 1 : static_cast<std::size_t>(view.shape[rank - 1]);
  const std::size_t rows = columns == 0 ? 0 : elements / columns;
  const auto send = [&]<class Number>(const Number* values) { numbers(values, rows, columns, header, topic); };
  switch (view.dtype) {
    case DType::float32:
      return send(static_cast<const float*>(view.data));
    case DType::float64:
      return send(static_cast<const double*>(view.data));
    case DType::int8:
      return send(static_cast<const std::int8_t*>(view.data));
    case DType::uint8:
    case DType::boolean:
      return send(static_cast<const std::uint8_t*>(view.data));
    case DType::int16:
      return send(static_cast<const std::int16_t*>(view.data));
    case DType::uint16:
      return send(static_cast<const std::uint16_t*>(view.data));
    case DType::int32:
      return send(static_cast<const std::int32_t*>(view.data));
    case DType::uint32:
      return send(static_cast<const std::uint32_t*>(view.data));
    case DType::int64:
      return send(static_cast<const std::int64_t*>(view.data));
    case DType::uint64:
      return send(static_cast<const std::uint64_t*>(view.data));
    case DType::float16:
      RCLCPP_ERROR_ONCE(node_.get_logger(), "%s is float16, which no message holds; it is not published",
                        topic.c_str());
  }
}

std::string Outputs::class_name(std::int64_t label) const {
  const bool known = label >= 0 && static_cast<std::size_t>(label) < classes_.size();
  return known ? classes_[static_cast<std::size_t>(label)] : std::to_string(label);
}

}  // namespace edgekit::ros
