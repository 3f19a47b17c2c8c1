#include "edgekit/frame.hpp"

#include <string>

namespace edgekit {
namespace {

struct Layout {
  const char* name;
  std::int32_t pixel_bytes;
  bool halved_columns;  // two pixels share their colour
  bool halved_rows;     // a plane of colour with half as many rows follows
};

constexpr std::array<Layout, 18> layouts{{{"rgb8", 3, false, false},
                                          {"bgr8", 3, false, false},
                                          {"rgba8", 4, false, false},
                                          {"bgra8", 4, false, false},
                                          {"mono8", 1, false, false},
                                          {"rgb16", 6, false, false},
                                          {"bgr16", 6, false, false},
                                          {"rgba16", 8, false, false},
                                          {"bgra16", 8, false, false},
                                          {"mono16", 2, false, false},
                                          {"bayer_rggb8", 1, false, false},
                                          {"bayer_bggr8", 1, false, false},
                                          {"bayer_gbrg8", 1, false, false},
                                          {"bayer_grbg8", 1, false, false},
                                          {"yuyv", 2, true, false},
                                          {"uyvy", 2, true, false},
                                          {"nv12", 1, true, true},
                                          {"nv21", 1, true, true}}};

struct Alias {
  std::string_view name;
  Encoding encoding;
};

// OpenCV's own pictures, which are BGR, carry ROS's names 8UC3 and 16UC3.
constexpr std::array<Alias, 7> aliases{{{"yuv422_yuy2", Encoding::yuyv},
                                        {"yuv422", Encoding::uyvy},
                                        {"8UC1", Encoding::mono8},
                                        {"16UC1", Encoding::mono16},
                                        {"8UC3", Encoding::bgr8},
                                        {"16UC3", Encoding::bgr16},
                                        {"8UC4", Encoding::bgra8}}};

const Layout& layout_of(Encoding encoding) noexcept { return layouts[static_cast<std::size_t>(encoding)]; }

Error wrong(std::string message) { return {Code::frame, std::move(message)}; }

std::string size_text(const Frame& frame) {
  return std::to_string(frame.height) + " x " + std::to_string(frame.width) + " pixels";
}

}  // namespace

const char* name_of(Encoding encoding) noexcept { return layout_of(encoding).name; }

Expected<Encoding> encoding_of(std::string_view name) {
  for (std::size_t index = 0; index < layouts.size(); ++index) {
    if (name == layouts[index].name) return static_cast<Encoding>(index);
  }
  for (const Alias& alias : aliases) {
    if (name == alias.name) return alias.encoding;
  }
  std::string allowed;
  for (const Layout& one : layouts) allowed += (allowed.empty() ? "" : ", ") + std::string(one.name);
  return wrong("encoding '" + std::string(name) + "' cannot be read; expected one of " + allowed);
}

std::int64_t Frame::row_bytes() const noexcept {
  return static_cast<std::int64_t>(width) * layout_of(encoding).pixel_bytes;
}

Status Frame::check() const {
  if (static_cast<std::size_t>(encoding) >= layouts.size()) {
    return wrong("encoding number " + std::to_string(static_cast<int>(encoding)) + " is not known");
  }
  const Layout& layout = layout_of(encoding);
  if (data == nullptr) return wrong("the frame has no data (a null pointer)");
  if (height < 1 || width < 1) {
    return wrong("an image of " + size_text(*this) + " has no content; check the camera's driver");
  }
  if ((layout.halved_columns && width % 2 != 0) || (layout.halved_rows && height % 2 != 0)) {
    return wrong(std::string(layout.name) + " needs even sizes, the image has " + size_text(*this));
  }
  const std::int64_t row = row_bytes();
  const std::int64_t step = stride_or_row();
  if (step < row) {
    return wrong("stride " + std::to_string(step) + " does not fit " + std::to_string(width) + " pixels of " +
                 layout.name + ", which are " + std::to_string(row) + " bytes a row; check the camera's driver");
  }
  const std::int64_t rows = layout.halved_rows ? static_cast<std::int64_t>(height) / 2 * 3 : height;
  std::int64_t needed = 0;  // the last row may come without its padding
  if (__builtin_mul_overflow(rows - 1, step, &needed) || __builtin_add_overflow(needed, row, &needed) ||
      static_cast<std::uint64_t>(needed) > bytes) {
    return wrong("the data are truncated: " + std::to_string(bytes) + " bytes instead of " + std::to_string(needed) +
                 " for " + std::to_string(rows) + " rows of " + std::to_string(step) + " bytes");
  }
  return {};
}

}  // namespace edgekit
