#include "run/document.hpp"

#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "bundle/contents.hpp"
#include "run/latency.hpp"

namespace edgekit::run {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::optional<double>& number) { return number ? Json(*number) : Json(nullptr); }

Json json_of(const Latency& latency) {
  Json made{{"p50", latency.p50},   {"p90", latency.p90},         {"p99", latency.p99},
            {"mean", latency.mean}, {"samples", latency.samples}, {"p999", or_null(latency.p999)}};
  for (const auto& [name, ends] : latency.intervals) {
    made["intervals"][name] = {{"low", or_null(ends.first)}, {"high", or_null(ends.second)}};
  }
  for (const auto& [name, bound] : latency.bounds) made["bounds"][name] = or_null(bound);
  return made;
}

std::string first_line(const char* file, const std::string& otherwise) {
  std::ifstream stream(file);
  std::string line;
  return std::getline(stream, line) ? line : otherwise;
}

std::string processor() {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);) {
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos && (line.starts_with("model name") || line.starts_with("Model"))) {
      return line.substr(colon + 2);
    }
  }
  return "unknown";
}

Json machine() {
  utsname system{};
  ::uname(&system);
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const bool counted = ::sched_getaffinity(0, sizeof allowed, &allowed) == 0;
  double load = 0;
  const bool loaded = ::getloadavg(&load, 1) == 1;
  return {{"system", system.sysname},
          {"machine", system.machine},
          {"python", ""},
          {"cpu", processor()},
          {"cpus", counted ? Json(CPU_COUNT(&allowed)) : Json(nullptr)},
          {"governor", first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "unknown")},
          {"load_average_1min", loaded ? Json(std::round(load * 100) / 100) : Json(nullptr)}};
}

Json settings(const Bundle& bundle, const Session& session, std::size_t queries, const std::string& precision) {
  const EngineOptions& options = bundle.engine_options();
  Json made{{"queries", queries}, {"loads", 1}, {"frames", session.frames}, {"co_load", false}, {"peaks", nullptr}};
  made["engine"] = bundle.backend();
  made["version"] = nullptr;
  made["provider"] = options.provider;
  made["threads"] = options.threads;
  made["pin"] = options.pin;
  made["denormals"] = nullptr;
  made["precision"] = precision;
  for (const char* unknown : {"memory", "flavour", "compute_capability", "device", "cuda_graph", "layers"}) {
    made[unknown] = nullptr;
  }
  made["more"] = {{"runtime", session.described}, {"program", "edgekit-run"}, {"skipped_frames", session.skipped}};
  return made;
}

Json traffic(const Session& session, std::size_t queries) {
  Json made{{"queries", queries}};
  for (const char* unknown :
       {"rate_hz", "rate_kept_hz", "late", "late_share", "late_correlation", "queueing_p50_ms", "queueing_p99_ms"}) {
    made[unknown] = nullptr;
  }
  made["throughput_hz"] = session.seconds > 0 ? Json(static_cast<double>(queries) / session.seconds) : Json(nullptr);
  made["idle_gap_ms"] = nullptr;
  made["warmup"] = session.warmup_ms.size();
  made["stable"] = settled(session.warmup_ms);
  return made;
}

double median(std::vector<double> times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  const double upper = *middle;
  return times.size() % 2 == 1 ? upper : (upper + *std::max_element(times.begin(), middle)) / 2;
}

std::vector<double> rounded(std::vector<double> times) {
  for (double& time : times) time = std::round(time * 1000) / 1000;
  return times;
}

}  // namespace

void Times::add(const Timing& timing) {
  const auto ms = [](std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e6; };
  pre.push_back(ms(timing.preprocess));
  infer.push_back(ms(timing.engine));
  post.push_back(ms(timing.postprocess));
  total.push_back(ms(timing.total()));
}

double status_mib(const std::string& key) {
  std::ifstream stream("/proc/self/status");
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with(key + ":")) return std::strtod(line.c_str() + key.size() + 1, nullptr) / 1024;
  }
  return 0;
}

bool settled(const std::vector<double>& times_ms) {
  constexpr std::ptrdiff_t window = 10;
  constexpr double tolerance = 0.05;
  constexpr double least_ms = 1e-3;
  if (times_ms.size() < 2 * window) return false;
  const double before = median({times_ms.end() - 2 * window, times_ms.end() - window});
  const double now = median({times_ms.end() - window, times_ms.end()});
  return std::abs(before - now) <= std::max(tolerance * before, least_ms);
}

nlohmann::ordered_json document(const Bundle& bundle, const Session& session, const Times& times) {
  const Contents& contents = bundle.contents();
  const EngineFile& engine = session.role == "control" && contents.control ? *contents.control : contents.candidate;
  std::error_code problem;
  const std::uintmax_t size = std::filesystem::file_size(bundle.path() / engine.file, problem);
  const double peak = status_mib("VmHWM");
  Json made{{"bundle", bundle.name() + "@" + bundle.digest().substr(0, 12)}, {"engine", engine.file}};
  const Json infer = json_of(summarise(times.infer));
  made["latency_ms"] = infer;
  made["stages_ms"] = {{"pre", json_of(summarise(times.pre))},
                       {"infer", infer},
                       {"post", json_of(summarise(times.post))},
                       {"total", json_of(summarise(times.total))}};
  made["memory_mib"] = {{"peak_rss", peak}, {"imports", session.imports_mib}, {"engine", peak - session.imports_mib}};
  made["size_mib"] = problem ? 0.0 : static_cast<double>(size) / (1 << 20);
  for (const char* one : {"control", "speedup_p50", "speedup_interval", "noise"}) made[one] = nullptr;
  made["times_ms"] = {{engine.file, rounded(times.infer)}};
  made["scenario"] = "single-stream";
  made["traffic"] = traffic(session, times.infer.size());
  made["layers"] = Json::array();
  made["leak"] = nullptr;
  made["power"] = nullptr;
  made["settings"] = settings(bundle, session, times.infer.size(), engine.precision);
  made["machine"] = machine();
  made["built"] = Json::object();
  made["schema_version"] = 1;
  return made;
}

}  // namespace edgekit::run
