// Prometheus's text format, version 0.0.4: a family's lines stand together, its HELP and TYPE above them.
#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstring>
#include <limits>
#include <new>
#include <string_view>
#include <utility>

#include "edgekit/statistics.hpp"

namespace edgekit {
namespace {

using Cameras = std::span<const CameraStatistics>;

/// Text in a buffer of a fixed size, and how long it would be without an end.
class Text {
 public:
  Text(char* buffer, std::size_t size) noexcept : buffer_(buffer), size_(size) {}

  Text& operator<<(std::string_view part) noexcept {
    if (length_ < size_) std::memcpy(buffer_ + length_, part.data(), std::min(part.size(), size_ - length_));
    length_ += part.size();
    return *this;
  }
  template <class Number>
    requires std::integral<Number> || std::floating_point<Number>
  Text& operator<<(Number number) noexcept {
    char digits[32];
    const auto made = std::to_chars(digits, digits + sizeof digits, number);
    return *this << std::string_view(digits, static_cast<std::size_t>(made.ptr - digits));
  }
  std::size_t length() const noexcept { return length_; }

 private:
  char* buffer_;
  std::size_t size_;
  std::size_t length_ = 0;
};

/// A label's value: backslash, quote and line feed are escaped.
struct Label {
  std::string_view value;
};

Text& operator<<(Text& text, Label label) noexcept {
  text << "\"";
  for (const char& letter : label.value) {
    if (letter == '\n') {
      text << "\\n";
    } else {
      if (letter == '\\' || letter == '"') text << "\\";
      text << std::string_view(&letter, 1);
    }
  }
  return text << "\"";
}

double seconds(std::chrono::nanoseconds time) noexcept { return std::chrono::duration<double>(time).count(); }

void head(Text& text, std::string_view name, std::string_view kind, std::string_view help) noexcept {
  text << "# HELP " << name << " " << help << "\n# TYPE " << name << " " << kind << "\n";
}

void outcomes(Text& text, Cameras cameras) noexcept {
  head(text, "edgekit_frames_total", "counter", "frames by what became of them");
  for (const CameraStatistics& camera : cameras) {
    const std::uint64_t unreadable = camera.of(Code::frame);
    const std::pair<std::string_view, std::uint64_t> counts[] = {
        {"received", camera.received}, {"answered", camera.answered},
        {"dropped", camera.dropped()}, {"refused", camera.refused + unreadable},
        {"late", camera.late},         {"failed", camera.failed() - unreadable}};
    for (const auto& [outcome, count] : counts) {
      text << "edgekit_frames_total{camera=" << Label{camera.name} << ",outcome=" << Label{outcome} << "} " << count
           << "\n";
    }
  }
}

void causes(Text& text, Cameras cameras) noexcept {
  head(text, "edgekit_drops_total", "counter", "frames that were not processed, by cause");
  for (const CameraStatistics& camera : cameras) {
    for (std::size_t cause = 0; cause < drop_count; ++cause) {
      text << "edgekit_drops_total{camera=" << Label{camera.name}
           << ",cause=" << Label{name_of(static_cast<Drop>(cause))} << "} " << camera.drops[cause] << "\n";
    }
  }
  head(text, "edgekit_errors_total", "counter", "frames that were processed in vain, by code");
  for (const CameraStatistics& camera : cameras) {
    for (std::size_t code = 1; code < code_count; ++code) {
      if (camera.errors[code] == 0) continue;
      text << "edgekit_errors_total{camera=" << Label{camera.name}
           << ",code=" << Label{name_of(static_cast<Code>(code))} << "} " << camera.errors[code] << "\n";
    }
  }
}

/// The lines of one histogram; `label` is "name=" and the value, without braces.
void histogram(Text& text, std::string_view name, std::string_view label, std::string_view value,
               const Histogram& one) noexcept {
  std::uint64_t below = 0;
  for (std::size_t bucket = 0; bucket < one.counts.size(); ++bucket) {
    below += one.counts[bucket];
    text << name << "_bucket{" << label << "=" << Label{value} << ",le=\"";
    if (bucket < bucket_ends.size()) {
      // A whole second is 1.0 as the node's page has it, since labels are compared letter by letter.
      text << seconds(bucket_ends[bucket])
           << (bucket_ends[bucket] % std::chrono::seconds(1) == std::chrono::microseconds(0) ? ".0" : "");
    } else {
      text << "+Inf";
    }
    text << "\"} " << below << "\n";
  }
  text << name << "_count{" << label << "=" << Label{value} << "} " << one.count << "\n";
  text << name << "_sum{" << label << "=" << Label{value} << "} " << seconds(one.sum) << "\n";
}

/// The node's stages over all its cameras, under its names.
void stages(Text& text, Cameras cameras) noexcept {
  constexpr std::pair<std::string_view, Stage> shown[] = {
      {"wait", Stage::wait}, {"pre", Stage::preprocess}, {"inference", Stage::engine}, {"post", Stage::postprocess}};
  head(text, "edgekit_stage_seconds", "histogram", "time of each stage");
  for (const auto& [name, stage] : shown) {
    Histogram sum;
    for (const CameraStatistics& camera : cameras) {
      const Histogram& one = camera.histograms[static_cast<std::size_t>(stage)];
      for (std::size_t bucket = 0; bucket < one.counts.size(); ++bucket) sum.counts[bucket] += one.counts[bucket];
      sum.count += one.count;
      sum.sum += one.sum;
    }
    histogram(text, "edgekit_stage_seconds", "stage", name, sum);
  }
  head(text, "edgekit_age_seconds", "histogram", "from a frame's submission to its result");
  for (const CameraStatistics& camera : cameras) {
    histogram(text, "edgekit_age_seconds", "camera", camera.name,
              camera.histograms[static_cast<std::size_t>(Stage::total)]);
  }
}

void quantiles(Text& text, Cameras cameras) noexcept {
  constexpr std::string_view name = "edgekit_recent_stage_seconds";
  head(text, name, "gauge", "percentiles of each stage over the last results");
  for (const CameraStatistics& camera : cameras) {
    for (std::size_t stage = 0; stage < stage_count; ++stage) {
      const Percentiles& times = camera.percentiles[stage];
      const std::pair<std::string_view, std::chrono::nanoseconds> shown[] = {
          {"0.5", times.p50}, {"0.9", times.p90}, {"0.99", times.p99}, {"0.999", times.p999}};
      for (const auto& [quantile, time] : shown) {
        text << name << "{camera=" << Label{camera.name} << ",stage=" << Label{name_of(static_cast<Stage>(stage))}
             << ",quantile=" << Label{quantile} << "} " << seconds(time) << "\n";
      }
    }
  }
}

/// A family with one number a camera.
template <class Value>
void each(Text& text, Cameras cameras, std::string_view name, std::string_view kind, std::string_view help,
          Value value) noexcept {
  head(text, name, kind, help);
  for (const CameraStatistics& camera : cameras) {
    text << name << "{camera=" << Label{camera.name} << "} " << value(camera) << "\n";
  }
}

void levels(Text& text, Cameras cameras) noexcept {
  bool hung = false;
  for (const CameraStatistics& camera : cameras) hung = hung || camera.hung;
  head(text, "edgekit_status_level", "gauge", "0 OK, 1 WARN, 2 ERROR, 3 STALE");
  text << "edgekit_status_level{status=\"inference\"} " << (hung ? 2 : 0) << "\n";
}

}  // namespace

std::size_t write_prometheus(Cameras cameras, char* buffer, std::size_t size) noexcept {
  using Camera = const CameraStatistics&;
  Text text(buffer, buffer == nullptr ? 0 : size);
  outcomes(text, cameras);
  causes(text, cameras);
  each(text, cameras, "edgekit_deadline_misses_total", "counter", "late results, and frames that expired",
       [](Camera one) { return one.deadline_misses(); });
  each(text, cameras, "edgekit_hangs_total", "counter", "times that a processor hung",
       [](Camera one) { return one.hangs; });
  stages(text, cameras);
  quantiles(text, cameras);
  each(text, cameras, "edgekit_rate_hz", "gauge", "results of the last five seconds",
       [](Camera one) { return one.rate_hz; });
  each(text, cameras, "edgekit_last_result_age_seconds", "gauge", "since the last result; NaN before the first",
       [](Camera one) {
         return one.last_result_age.count() < 0 ? std::numeric_limits<double>::quiet_NaN()
                                                : seconds(one.last_result_age);
       });
  each(text, cameras, "edgekit_hung", "gauge", "1 while a processor runs for longer than its limit",
       [](Camera one) { return one.hung ? 1 : 0; });
  levels(text, cameras);
  return text.length();
}

Expected<std::string> prometheus_text(Cameras cameras) {
  try {
    std::string made(write_prometheus(cameras, nullptr, 0), '\0');
    write_prometheus(cameras, made.data(), made.size());
    return made;
  } catch (const std::bad_alloc&) {
    return Error{Code::out_of_memory, "no memory for the numbers of " + std::to_string(cameras.size()) + " cameras"};
  }
}

}  // namespace edgekit
