#include "run/options.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>

namespace edgekit::run {
namespace {

constexpr const char* about =
    "Run a bundle over pictures, a raw pipe or shared memory: a line on what each frame shows, and how long it "
    "took.\n\n"
    "  edgekit-run camvid-seg-cpu frames/ --json\n"
    "  ffmpeg -i drive.mp4 -f rawvideo -pix_fmt bgr24 - | edgekit-run camvid-seg-cpu - --width 1280 --height 720\n"
    "  edgekit-run camvid-seg-cpu shm:/front\n";
constexpr const char* exits =
    "Exit codes: 0 done; 2 the input is wrong; 3 this machine lacks what is needed, or nothing came in time.";

std::optional<std::string> wrong(const Options& options) {
  const bool one = options.inputs.size() == 1;
  for (const std::string& input : options.inputs) {
    const bool stream = input == "-" || input.starts_with("shm:");
    if (stream && !one) return input + " cannot be mixed with other inputs; name it alone";
    if (stream && options.repeat > 1) return "--repeat needs pictures; " + input + " comes once";
  }
  const bool raw = options.raw.width != 0 || options.raw.height != 0 || options.raw.stride != 0;
  const bool piped = options.inputs.front() == "-";
  if (piped && (options.raw.width < 1 || options.raw.height < 1)) {
    return "- needs --width and --height, the size of the frames that come";
  }
  if (!piped && raw) return "--width, --height and --stride belong to -, the raw pipe on stdin; leave them out";
  return std::nullopt;
}

}  // namespace

Parsed parse(int count, const char* const* arguments) {
  Parsed parsed;
  Options& options = parsed.options;
  CLI::App app(about, "edgekit-run");
  app.footer(exits);
  std::string encoding = "bgr8";
  app.set_version_flag("--version", "edgekit-run " EDGEKIT_VERSION);
  app.add_option("bundle", options.bundle, "the bundle: a folder, or a .edgekit file")->required();
  app.add_option(
         "inputs", options.inputs,
         "PNG and JPEG files, folders of them; -: raw frames on stdin; shm:/NAME: shared memory (edgekit/ring.h)")
      ->required();
  app.add_option("--key", options.key, "PEM file of the Ed25519 public key that must have signed the bundle");
  app.add_option("--role", options.role, "the engine: candidate or control")
      ->check(CLI::IsMember({"candidate", "control"}));
  app.add_option("--width", options.raw.width, "pixels of the frames on stdin");
  app.add_option("--height", options.raw.height, "pixels of the frames on stdin");
  app.add_option("--stride", options.raw.stride, "bytes from one row to the next on stdin; default: no padding");
  app.add_option("--encoding", encoding, "of the frames on stdin, by ROS's name: bgr8, rgb8, nv12, yuyv, ...")
      ->capture_default_str();
  app.add_option("--patience", options.patience_s, "seconds to wait for a frame in shared memory")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--limit", options.limit, "at most so many frames");
  app.add_option("--repeat", options.repeat, "run the pictures so many times")->check(CLI::PositiveNumber);
  app.add_option("--warmup", options.warmup, "runs of the first frame that do not count")->capture_default_str();
  app.add_flag("--json", options.json, "one JSON document on stdout, with the fields of edgekit profile");
  app.add_flag("--frames", options.frames, "with --json: also the result of every frame");
  try {
    app.parse(count, arguments);
  } catch (const CLI::CallForHelp& asked) {
    parsed.exit = app.exit(asked);
    return parsed;
  } catch (const CLI::CallForVersion& asked) {
    parsed.exit = app.exit(asked);
    return parsed;
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "edgekit-run: %s; edgekit-run --help lists the options\n", error.what());
    parsed.exit = 2;
    return parsed;
  }
  std::optional<std::string> problem = wrong(options);
  if (const Expected<Encoding> known = encoding_of(encoding)) {
    options.raw.encoding = *known;
  } else {
    problem = "--encoding: " + known.error().message;
  }
  if (problem) {
    std::fprintf(stderr, "edgekit-run: %s\n", problem->c_str());
    parsed.exit = 2;
  }
  return parsed;
}

}  // namespace edgekit::run
