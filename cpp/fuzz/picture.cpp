// A PNG or JPEG. What is read is a frame of as many pixels as are allowed at most.
#include "files/picture.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace edgekit;
  static Picture picture;  // used again, as a camera's frames are
  constexpr std::uint64_t most = 1 << 18;
  if (!decode_picture({data, size}, "fuzz", picture, most)) return 0;
  const Frame frame = picture.frame();
  const auto pixels = static_cast<std::uint64_t>(frame.height) * static_cast<std::uint64_t>(frame.width);
  if (!frame.check() || pixels > most) std::abort();
  unsigned sum = 0;  // every byte is there, and was written
  for (std::size_t at = 0; at < frame.bytes; ++at) sum += frame.data[at];
  const volatile unsigned kept = sum;
  (void)kept;
  return 0;
}
