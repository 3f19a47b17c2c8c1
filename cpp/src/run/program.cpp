#include "run/program.hpp"

#include <unistd.h>

#include <chrono>

#include "bundle/contents.hpp"
#include "edgekit/pipeline.hpp"
#include "run/document.hpp"
#include "run/latency.hpp"
#include "run/summary.hpp"

namespace edgekit::run {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

Expected<std::unique_ptr<Input>> opened(const Options& options) {
  const std::string& first = options.inputs.front();
  if (first == "-") return raw_pipe(STDIN_FILENO, options.raw);
  if (first.starts_with("shm:")) return shared_memory(first.substr(4), options.patience_s);
  return pictures({options.inputs.begin(), options.inputs.end()});
}

class Runner {
 public:
  Runner(const Options& options, const Bundle& bundle, Pipeline pipeline, std::FILE* out)
      : options_(options), bundle_(bundle), pipeline_(std::move(pipeline)), out_(out) {}

  Session session;
  Times times;
  Json frames = Json::array();

  Status all() {
    for (std::uint64_t pass = 0; pass < options_.repeat && !full() && !interrupted; ++pass) {
      Expected<std::unique_ptr<Input>> input = opened(options_);
      if (!input) return input.error();
      if (Status done = over(**input, pass == 0); !done) return done;
    }
    if (times.total.empty()) return Error{Code::invalid_argument, options_.inputs.front() + ": no frame came"};
    return {};
  }

 private:
  bool full() const { return options_.limit != 0 && times.total.size() >= options_.limit; }

  Status over(Input& input, bool first) {
    Taken taken;
    while (!full()) {
      const Expected<bool> more = input.next(taken);
      if (!more) return more.error();
      if (!*more) break;
      if (Status done = one(taken, first); !done) {
        return Error{done.error().code, "frame " + taken.id + ": " + done.error().message};
      }
    }
    return {};
  }

  Status one(const Taken& taken, bool first) {
    while (times.total.empty() && session.warmup_ms.size() < options_.warmup) {
      if (Status done = pipeline_.process(taken.frame, result_); !done) return done;
      session.warmup_ms.push_back(static_cast<double>(pipeline_.timing().total().count()) / 1e6);
    }
    if (Status done = pipeline_.process(taken.frame, result_); !done) return done;
    times.add(pipeline_.timing());
    session.seconds += static_cast<double>(pipeline_.timing().total().count()) / 1e9;
    session.skipped += taken.skipped;
    if (first) {
      ++session.frames;
      show(taken);
    }
    return {};
  }

  void show(const Taken& taken) {
    if (options_.json && !options_.frames) return;
    const Found found = found_of(bundle_.contents().task, result_);
    if (!options_.json) {
      std::fprintf(out_, "%s: %s\n", taken.id.c_str(), found.text.c_str());
      return;
    }
    frames.push_back({{"id", taken.id},
                      {"found", found.json()},
                      {"result", json_of(result_)},
                      {"ms", {{"pre", times.pre.back()}, {"infer", times.infer.back()}, {"post", times.post.back()}}}});
  }

  const Options& options_;
  const Bundle& bundle_;
  Pipeline pipeline_;
  std::FILE* out_;
  Result result_;
};

void print_times(const Times& times, std::FILE* out) {
  const Latency total = summarise(times.total);
  const Latency infer = summarise(times.infer);
  std::fprintf(out,
               "%zu frames, milliseconds: total p50 %.2f, p90 %.2f, p99 %.2f; engine p50 %.2f, p90 %.2f, p99 %.2f\n",
               total.samples, total.p50, total.p90, total.p99, infer.p50, infer.p90, infer.p99);
}

}  // namespace

volatile std::sig_atomic_t interrupted = 0;

int exit_code(Code code) noexcept {
  switch (code) {
    case Code::ok:
      return 0;
    case Code::missing_requirement:
    case Code::engine:
    case Code::out_of_memory:
    case Code::timeout:
      return 3;
    default:
      return 2;
  }
}

Status run(const Options& options, std::FILE* out) {
  const double imports = status_mib("VmRSS");
  BundleOptions how;
  how.trusted_key = options.key;
  const Expected<Bundle> bundle = Bundle::open(options.bundle, how);
  if (!bundle) return bundle.error();
  Expected<Pipeline> pipeline = Pipeline::of(*bundle, options.role);
  if (!pipeline) return pipeline.error();
  const std::string described = pipeline->describe();
  Runner runner(options, *bundle, std::move(*pipeline), out);
  runner.session.role = options.role;
  runner.session.described = described;
  runner.session.imports_mib = imports;
  if (Status done = runner.all(); !done) return done;
  if (!options.json) {
    print_times(runner.times, out);
    return {};
  }
  Json made = document(*bundle, runner.session, runner.times);
  if (options.frames) made["frames"] = std::move(runner.frames);
  // A name in the bundle that is not UTF-8 must not end the document.
  std::fprintf(out, "%s\n", made.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  return {};
}

}  // namespace edgekit::run
