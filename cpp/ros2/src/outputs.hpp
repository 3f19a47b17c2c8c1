// Results as messages, on the topics that edgekit's Python node publishes.
#pragma once

#include <edgekit/result.hpp>
#include <map>
#include <rclcpp_lifecycle/lifecycle_node.hpp>
#include <std_msgs/msg/header.hpp>
#include <string>
#include <vector>

namespace edgekit::ros {

/// The publishers below ~/output; one is made when its first result comes. For one thread at a time.
class Outputs {
 public:
  /// `node` outlives this; `classes` are names of the class ids.
  Outputs(rclcpp_lifecycle::LifecycleNode& node, std::vector<std::string> classes);

  /// Says which network speaks and what its class ids mean, to whoever asks later too.
  void describe(const std::string& task, const std::string& identity, double threshold);
  /// Publishes a result under its frame's header; detections below `threshold` are left out.
  void publish(const Result& result, const std_msgs::msg::Header& header, double threshold);

 private:
  void publish_part(const Result& result, const std_msgs::msg::Header& header, const std::string& prefix);
  void mask(const LabelMap& map, const std_msgs::msg::Header& header, const std::string& prefix);
  void detections(const Detections& found, const std_msgs::msg::Header& header, const std::string& prefix);
  void classification(const ClassScores& scores, const std_msgs::msg::Header& header, const std::string& prefix);
  /// Numbers as an image of one 32-bit float channel: no standard message holds a vector with a header.
  template <class Number>
  void numbers(const Number* values, std::size_t rows, std::size_t columns, const std_msgs::msg::Header& header,
               const std::string& topic);
  void tensor(const TensorView& view, const std_msgs::msg::Header& header, const std::string& topic);
  std::string class_name(std::int64_t label) const;
  template <class Message>
  rclcpp::Publisher<Message>& publisher(const std::string& topic, const rclcpp::QoS& qos = rclcpp::QoS(5).reliable());

  rclcpp_lifecycle::LifecycleNode& node_;
  std::vector<std::string> classes_;
  double threshold_ = 0.0;
  std::map<std::string, rclcpp::PublisherBase::SharedPtr> publishers_;
};

}  // namespace edgekit::ros
