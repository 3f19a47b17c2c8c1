#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "run/inputs.hpp"

namespace edgekit::run {
namespace {

class RawPipe final : public Input {
 public:
  RawPipe(int descriptor, std::vector<std::uint8_t> memory, const Frame& frame)
      : descriptor_(descriptor), memory_(std::move(memory)), frame_(frame) {
    frame_.data = memory_.data();
  }

  Expected<bool> next(Taken& into) override {
    std::size_t have = 0;
    while (have < memory_.size()) {
      if (interrupted) return false;
      const ssize_t got = ::read(descriptor_, memory_.data() + have, memory_.size() - have);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Error{Code::frame, std::string("stdin cannot be read: ") + std::strerror(errno)};
      if (got == 0) break;
      have += static_cast<std::size_t>(got);
    }
    if (have == 0) return false;
    if (have < memory_.size()) {
      return Error{Code::frame, "stdin ended inside frame " + std::to_string(number_) + ": " + std::to_string(have) +
                                    " of " + std::to_string(memory_.size()) +
                                    " bytes; do --width, --height and --encoding fit what the decoder writes?"};
    }
    into = {frame_, std::to_string(number_++), 0};
    return true;
  }

 private:
  int descriptor_;
  std::vector<std::uint8_t> memory_;
  Frame frame_;
  std::uint64_t number_ = 0;
};

/// Bytes of a whole frame, its last row with padding: so decoders write them.
Expected<std::size_t> bytes_of(Frame frame) {
  static const std::uint8_t anything = 0;
  frame.data = &anything;
  frame.bytes = SIZE_MAX;
  if (Status fits = frame.check(); !fits) return fits.error();
  const bool more = frame.encoding == Encoding::nv12 || frame.encoding == Encoding::nv21;
  const std::int64_t rows = more ? std::int64_t{frame.height} / 2 * 3 : std::int64_t{frame.height};
  constexpr std::int64_t most = std::int64_t{1} << 30;
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(rows, frame.stride_or_row(), &bytes) || bytes > most) {
    return Error{Code::frame, "a frame of " + std::to_string(frame.width) + " x " + std::to_string(frame.height) +
                                  " pixels is larger than 1 GiB; correct --width and --height"};
  }
  return static_cast<std::size_t>(bytes);
}

}  // namespace

Expected<std::unique_ptr<Input>> raw_pipe(int descriptor, const RawFormat& format) {
  Frame frame;
  frame.width = format.width;
  frame.height = format.height;
  frame.stride = format.stride;
  frame.encoding = format.encoding;
  const Expected<std::size_t> bytes = bytes_of(frame);
  if (!bytes) return bytes.error();
  frame.bytes = *bytes;
  return std::unique_ptr<Input>(std::make_unique<RawPipe>(descriptor, std::vector<std::uint8_t>(*bytes), frame));
}

}  // namespace edgekit::run
