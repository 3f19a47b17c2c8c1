// The header of a frame, as a pipe or shared memory brings it: what check() lets through lies inside the buffer.
#include "edgekit/frame.hpp"

#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

template <class T>
T take(const std::uint8_t*& data, std::size_t& size) {
  T made{};
  const std::size_t count = size < sizeof(T) ? size : sizeof(T);
  std::memcpy(&made, data, count);
  data += count;
  size -= count;
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace edgekit;
  (void)encoding_of({reinterpret_cast<const char*>(data), size});
  Frame frame;
  frame.height = take<std::int32_t>(data, size);
  frame.width = take<std::int32_t>(data, size);
  frame.stride = take<std::int64_t>(data, size);
  const auto encoding = take<std::uint8_t>(data, size);
  frame.encoding = static_cast<Encoding>(encoding);
  frame.data = take<std::uint8_t>(data, size) == 0 ? nullptr : data;
  frame.bytes = size;
  if (!frame.check()) return 0;
  if (encoding > static_cast<std::uint8_t>(Encoding::nv21)) std::abort();
  const bool planes = frame.encoding == Encoding::nv12 || frame.encoding == Encoding::nv21;
  const std::int64_t rows = planes ? std::int64_t{frame.height} / 2 * 3 : frame.height;
  volatile std::uint8_t kept = 0;  // the first byte of each row and the last of all
  for (std::int64_t row = 0; row < rows; ++row) kept = frame.data[row * frame.stride_or_row()];
  kept = frame.data[(rows - 1) * frame.stride_or_row() + frame.row_bytes() - 1];
  (void)kept;
  return 0;
}
