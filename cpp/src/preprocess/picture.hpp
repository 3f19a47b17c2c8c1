// The pixels of a frame or of an array, whatever their encoding, as rows of one or three channels.
#pragma once

#include <cstdint>
#include <vector>

#include "edgekit/frame.hpp"
#include "preprocess/rows.hpp"

namespace edgekit::preprocessing {

/// An image that was checked.
struct Picture {
  Frame frame;                  ///< of float pixels the encoding says nothing: they are R, G, B
  DType pixels = DType::uint8;  ///< uint8, uint16 or float32
};

/// The image of a source: its frame, or an array of height x width x 3 in R, G, B.
///
/// Code::frame: it does not fit its own description.
Expected<Picture> picture_of(const Source& source);

/// Reads rows of pixels of T. Rows of three channels are R, G, B or B, G, R: red() tells. Grey pictures give one
/// channel, and so do others when grey is asked for.
template <class T>
class PictureRows final : public RowSource<T> {
 public:
  /// Makes room for pictures of this size and encoding; throws std::bad_alloc.
  PictureRows(const Picture& like, bool grey);

  /// The next picture, of the same size and encoding.
  void show(const Picture& picture) { frame_ = picture.frame; }
  const T* row(std::int32_t y) override;
  std::int32_t channels() const noexcept { return one_channel_ ? 1 : 3; }
  /// Which of the three channels is red, 0 or 2; green is 1.
  std::int32_t red() const noexcept { return red_; }

 private:
  const T* colour_row(std::int32_t y);

  Frame frame_;
  bool grey_;
  bool mono_;
  bool one_channel_;
  std::int32_t red_;
  std::vector<T> converted_;
  std::vector<T> greys_;
};

}  // namespace edgekit::preprocessing
