// JPEG through libjpeg-turbo: it reports errors by longjmp, so that no frame that it may leave holds a destructor.
#include <csetjmp>
#include <cstddef>
#include <cstdio>
// jpeglib.h needs both of the above.
#include <jerror.h>
#include <jpeglib.h>

#include <array>
#include <string>

#include "files/decoders.hpp"

namespace edgekit {
namespace {

class Jpeg {
 public:
  Jpeg() {
    decoder_.err = jpeg_std_error(&errors_);
    errors_.error_exit = stop;
    errors_.emit_message = ignore;
    errors_.output_message = silence;
    decoder_.client_data = this;
  }
  ~Jpeg() { jpeg_destroy_decompress(&decoder_); }
  Jpeg(const Jpeg&) = delete;
  Jpeg& operator=(const Jpeg&) = delete;

  /// Everything before the pixels; false: see error().
  bool read_header(std::span<const std::uint8_t> content, PictureSize& size) {
    if (setjmp(back_) != 0) return false;
    jpeg_create_decompress(&decoder_);
    decoder_.client_data = this;
    progress_.progress_monitor = watch;
    decoder_.progress = &progress_;
    jpeg_mem_src(&decoder_, content.data(), content.size());
    jpeg_read_header(&decoder_, TRUE);
    size.height = decoder_.image_height;
    size.width = decoder_.image_width;
    size.colour = decoder_.num_components != 1;
    decoder_.out_color_space = size.colour ? JCS_RGB : JCS_GRAYSCALE;
    return true;
  }

  bool read_rows(std::uint8_t* pixels, std::size_t row_bytes) {
    if (setjmp(back_) != 0) return false;
    jpeg_start_decompress(&decoder_);
    while (decoder_.output_scanline < decoder_.output_height) {
      JSAMPROW row = pixels + decoder_.output_scanline * row_bytes;
      jpeg_read_scanlines(&decoder_, &row, 1);
    }
    jpeg_finish_decompress(&decoder_);
    return true;
  }

  int components() const { return decoder_.num_components; }
  Error error(std::string_view place) const {
    if (no_memory_) return {Code::out_of_memory, std::string(place) + ": no memory to decode it"};
    return {Code::frame, std::string(place) + ": a damaged JPEG (" + why_.data() + "); take it again"};
  }

 private:
  static constexpr int most_scans = 200;  // each goes over the whole picture, and a few bytes make one

  [[noreturn]] static void stop(j_common_ptr decoder) {
    auto* self = static_cast<Jpeg*>(decoder->client_data);
    self->no_memory_ = decoder->err->msg_code == JERR_OUT_OF_MEMORY;
    std::array<char, JMSG_LENGTH_MAX> text{};
    decoder->err->format_message(decoder, text.data());
    std::snprintf(self->why_.data(), self->why_.size(), "%.90s", text.data());
    std::longjmp(self->back_, 1);
  }
  static void ignore(j_common_ptr, int) {}
  static void silence(j_common_ptr) {}
  static void watch(j_common_ptr decoder) {
    if (reinterpret_cast<j_decompress_ptr>(decoder)->input_scan_number <= most_scans) return;
    auto* self = static_cast<Jpeg*>(decoder->client_data);
    std::snprintf(self->why_.data(), self->why_.size(), "more than %d scans", most_scans);
    std::longjmp(self->back_, 1);
  }

  jpeg_decompress_struct decoder_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf back_{};
  bool no_memory_ = false;
  std::array<char, 96> why_{};
};

}  // namespace

Status decode_jpeg(std::span<const std::uint8_t> content, std::string_view place, Picture& into, std::uint64_t most) {
  Jpeg jpeg;
  PictureSize size;
  if (!jpeg.read_header(content, size)) return jpeg.error(place);
  if (jpeg.components() != 1 && jpeg.components() != 3) {
    return Error{Code::frame, std::string(place) + ": a JPEG of " + std::to_string(jpeg.components()) +
                                  " channels; expected grey or colour, save it as RGB"};
  }
  if (Status room = make_room(into, size, place, most); !room) return room;
  const auto row_bytes = static_cast<std::size_t>(size.width) * (size.colour ? 3 : 1);
  if (!jpeg.read_rows(static_cast<std::uint8_t*>(into.pixels.data()), row_bytes)) return jpeg.error(place);
  return {};
}

}  // namespace edgekit
