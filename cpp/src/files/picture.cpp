#include "files/picture.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <vector>

#include "files/decoders.hpp"

namespace edgekit {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t tail = 65536;  // cameras pad their last packet with zeros
constexpr std::size_t near_the_end = 512;
constexpr std::uint64_t largest_file = std::uint64_t{1} << 31;

std::string_view bytes_of(std::span<const std::uint8_t> content) {
  return {reinterpret_cast<const char*>(content.data()), content.size()};
}

/// Whether a picture has its end: a decoder fills what is lacking with grey, without an error.
bool has_end(std::string_view content, std::string_view end) {
  content.remove_prefix(content.size() - std::min(content.size(), tail));
  content = content.substr(0, content.find_last_not_of('\0') + 1);
  content.remove_prefix(content.size() - std::min(content.size(), near_the_end));
  return content.find(end) != content.npos;
}

Error no_picture(std::string_view content, std::string_view place) {
  std::string head;
  for (const char one : content.substr(0, 4)) {
    std::array<char, 8> hex{};
    std::snprintf(hex.data(), hex.size(), "%s%02x", head.empty() ? "" : " ", static_cast<unsigned char>(one));
    head += hex.data();
  }
  return {Code::frame, std::string(place) + ": the compressed image of " + std::to_string(content.size()) +
                           " bytes (begins with " + (head.empty() ? "nothing" : head) + ") is no whole JPEG or PNG"};
}

Status decode(std::span<const std::uint8_t> content, std::string_view place, Picture& into, std::uint64_t most) {
  const std::string_view bytes = bytes_of(content);
  if (bytes.starts_with("\x89PNG"sv) && has_end(bytes, "IEND"sv)) return decode_png(content, place, into, most);
  if (bytes.starts_with("\xFF\xD8"sv) && has_end(bytes, "\xFF\xD9"sv)) return decode_jpeg(content, place, into, most);
  return no_picture(bytes, place);
}

Error not_read(const std::filesystem::path& file, int reason) {
  return {reason == ENOMEM ? Code::out_of_memory : Code::frame,
          file.string() + " cannot be read: " + std::generic_category().message(reason)};
}

Expected<std::vector<std::uint8_t>> content_of(const std::filesystem::path& file) {
  struct Handle {
    int number;
    ~Handle() { close(number); }
  };
  const int opened = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0) return not_read(file, errno);
  const Handle handle{opened};
  struct stat facts{};
  if (fstat(handle.number, &facts) != 0) return not_read(file, errno);
  if (!S_ISREG(facts.st_mode)) return not_read(file, EISDIR);
  if (static_cast<std::uint64_t>(facts.st_size) > largest_file) return not_read(file, EFBIG);
  std::vector<std::uint8_t> content(static_cast<std::size_t>(facts.st_size));
  for (std::size_t at = 0; at < content.size();) {
    const ssize_t count = read(handle.number, content.data() + at, content.size() - at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return not_read(file, errno);
    if (count == 0) content.resize(at);
    at += static_cast<std::size_t>(count);
  }
  return content;
}

}  // namespace

Frame Picture::frame() const noexcept {
  const bool wide = pixels.dtype() == DType::uint16;
  const bool colour = pixels.shape().rank() == 3;
  Frame made;
  made.data = static_cast<const std::uint8_t*>(pixels.data());
  made.bytes = pixels.bytes();
  made.height = pixels.shape().rank() < 2 ? 0 : static_cast<std::int32_t>(pixels.shape()[0]);
  made.width = pixels.shape().rank() < 2 ? 0 : static_cast<std::int32_t>(pixels.shape()[1]);
  made.encoding = colour ? (wide ? Encoding::rgb16 : Encoding::rgb8) : (wide ? Encoding::mono16 : Encoding::mono8);
  return made;
}

Status make_room(Picture& into, const PictureSize& size, std::string_view place, std::uint64_t most) {
  const std::uint64_t pixels = static_cast<std::uint64_t>(size.height) * static_cast<std::uint64_t>(size.width);
  if (size.height < 1 || size.width < 1 || size.height > longest_side || size.width > longest_side || pixels > most) {
    return Error{Code::frame, std::string(place) + ": a picture of " + std::to_string(size.height) + " x " +
                                  std::to_string(size.width) + " pixels; at most " + std::to_string(most) +
                                  " are read"};
  }
  const DType dtype = size.wide ? DType::uint16 : DType::uint8;
  return into.pixels.resize(size.colour ? Shape{size.height, size.width, 3} : Shape{size.height, size.width}, dtype);
}

Status decode_picture(std::span<const std::uint8_t> content, std::string_view place, Picture& into,
                      std::uint64_t most) noexcept {
  try {
    return decode(content, place, into, most);
  } catch (...) {  // messages are all that can fail
    return Error{Code::out_of_memory, {}};
  }
}

Expected<Picture> read_picture(const std::filesystem::path& file, std::uint64_t most) noexcept {
  try {
    const Expected<std::vector<std::uint8_t>> content = content_of(file);
    if (!content) return content.error();
    Picture made;
    if (Status done = decode(*content, file.string(), made, most); !done) return done.error();
    return made;
  } catch (...) {
    return Error{Code::out_of_memory, {}};
  }
}

}  // namespace edgekit
