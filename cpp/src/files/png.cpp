// PNG through libpng: it reports errors by longjmp, so that no frame that it may leave holds a destructor.
#include <png.h>

#include <array>
#include <bit>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "files/decoders.hpp"

namespace edgekit {
namespace {

class Png {
 public:
  explicit Png(std::span<const std::uint8_t> content) : content_(content) {
    png_ = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, this, stop, ignore, this, allocate, release);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    no_memory_ = no_memory_ || info_ == nullptr;
  }
  ~Png() { png_destroy_read_struct(&png_, &info_, nullptr); }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;

  /// Everything before the pixels; false: see error().
  bool read_header(PictureSize& size) {
    if (info_ == nullptr || setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, next);
    png_set_user_limits(png_, longest_side, longest_side);
    png_set_chunk_malloc_max(png_, most_beside);
    png_set_chunk_cache_max(png_, 16);
    png_read_info(png_, info_);
    const int kind = png_get_color_type(png_, info_);
    size.height = png_get_image_height(png_, info_);
    size.width = png_get_image_width(png_, info_);
    size.colour = (kind & PNG_COLOR_MASK_COLOR) != 0;
    size.wide = png_get_bit_depth(png_, info_) == 16;
    if (kind == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
    if (kind == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png_);
    png_set_strip_alpha(png_);
    if (size.wide && std::endian::native == std::endian::little) png_set_swap(png_);
    png_set_interlace_handling(png_);
    packed_ = png_get_rowbytes(png_, info_);
    png_read_update_info(png_, info_);
    row_ = png_get_rowbytes(png_, info_);
    return true;
  }

  /// The pixels, and the file to its end.
  bool read_rows(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_image(png_, rows);
    png_read_end(png_, nullptr);
    return true;
  }

  std::size_t row_bytes() const { return row_; }
  /// Bytes of a row as they are compressed.
  std::size_t packed_row_bytes() const { return packed_; }
  Error error(std::string_view place) const {
    if (no_memory_) return {Code::out_of_memory, std::string(place) + ": no memory to decode it"};
    return {Code::frame, std::string(place) + ": a damaged PNG (" + why_.data() + "); take it again"};
  }

 private:
  static constexpr png_alloc_size_t most_beside = png_alloc_size_t{1} << 20;  // of a chunk that holds no pixels

  [[noreturn]] static void stop(png_structp png, png_const_charp why) {
    auto* self = static_cast<Png*>(png_get_error_ptr(png));
    std::strncpy(self->why_.data(), why, self->why_.size() - 1);
    png_longjmp(png, 1);
  }
  static void ignore(png_structp, png_const_charp) {}
  static png_voidp allocate(png_structp png, png_alloc_size_t bytes) {
    void* made = std::malloc(bytes);
    if (made == nullptr) static_cast<Png*>(png_get_mem_ptr(png))->no_memory_ = true;
    return made;
  }
  static void release(png_structp, png_voidp memory) { std::free(memory); }
  static void next(png_structp png, png_bytep into, std::size_t count) {
    auto* self = static_cast<Png*>(png_get_io_ptr(png));
    if (count > self->content_.size()) png_error(png, "it ends too early");
    std::memcpy(into, self->content_.data(), count);
    self->content_ = self->content_.subspan(count);
  }

  std::span<const std::uint8_t> content_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::size_t row_ = 0;
  std::size_t packed_ = 0;
  bool no_memory_ = false;
  std::array<char, 96> why_{};
};

/// What deflate makes of a byte, at most.
constexpr std::uint64_t largest_ratio = 1032;

}  // namespace

Status decode_png(std::span<const std::uint8_t> content, std::string_view place, Picture& into, std::uint64_t most) {
  Png png(content);
  PictureSize size;
  if (!png.read_header(size)) return png.error(place);
  if (png.packed_row_bytes() * static_cast<std::uint64_t>(size.height) / largest_ratio > content.size()) {
    return Error{Code::frame, std::string(place) + ": a damaged PNG (" + std::to_string(content.size()) +
                                  " bytes cannot hold " + std::to_string(size.height) + " x " +
                                  std::to_string(size.width) + " pixels); take it again"};
  }
  if (Status room = make_room(into, size, place, most); !room) return room;
  const auto rows = static_cast<std::size_t>(size.height);
  if (png.row_bytes() * rows != into.pixels.bytes()) {
    return Error{Code::frame, std::string(place) + ": a PNG of a kind that is not read"};
  }
  std::vector<png_bytep> starts(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    starts[row] = static_cast<png_bytep>(into.pixels.data()) + row * png.row_bytes();
  }
  if (!png.read_rows(starts.data())) return png.error(place);
  return {};
}

}  // namespace edgekit
