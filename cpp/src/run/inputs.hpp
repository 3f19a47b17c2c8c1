// Where edgekit-run gets its frames from.
#pragma once

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "edgekit/frame.hpp"
#include "edgekit/status.hpp"

namespace edgekit::run {

/// One frame of an input; its pixels are valid until the next one is asked for.
struct Taken {
  Frame frame;
  std::string id;
  std::uint64_t skipped = 0;  ///< frames that were overwritten since the last one: the newest is taken
};

/// Set by a signal: waiting ends, and what was measured is still reported.
extern volatile std::sig_atomic_t interrupted;

/// A sequence of frames.
class Input {
 public:
  Input() = default;
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  virtual ~Input() = default;
  /// The next frame; false at the end.
  virtual Expected<bool> next(Taken& into) = 0;
};

/// What a raw pipe carries: nobody says it but the user.
struct RawFormat {
  std::int32_t width = 0;
  std::int32_t height = 0;
  std::int64_t stride = 0;
  Encoding encoding = Encoding::bgr8;
};

/// PNG and JPEG files, and those in folders, sorted by name.
///
/// Code::invalid_argument: no such file, no picture in a folder, or two pictures of one name.
Expected<std::unique_ptr<Input>> pictures(const std::vector<std::filesystem::path>& files);

/// Frames that follow one another in a file that is open for reading, such as a decoder's pipe; it is not closed.
Expected<std::unique_ptr<Input>> raw_pipe(int descriptor, const RawFormat& format);

/// The newest frames of a POSIX shared memory object in the layout of edgekit/ring.h; `name` begins with "/".
///
/// Code::timeout of next(): no new frame came within `patience_s`.
Expected<std::unique_ptr<Input>> shared_memory(const std::string& name, double patience_s);

}  // namespace edgekit::run
