// Images written into a tensor: read in any encoding, resized, normalised, in the order of the model's channels.
#include <cmath>
#include <cstring>
#include <vector>

#include "preprocess/input.hpp"
#include "preprocess/normalise.hpp"
#include "preprocess/picture.hpp"
#include "preprocess/place.hpp"
#include "preprocess/resize.hpp"

namespace edgekit::preprocessing {
namespace {

/// One image of the frame, and the channels that it becomes.
class Part {
 public:
  virtual ~Part() = default;
  virtual Expected<Geometry> write(const Picture& picture, void* tensor) = 0;
};

template <class T>
class PartOf final : public Part {
 public:
  PartOf(const ImageSettings& settings, std::size_t part, DType dtype)
      : settings_(settings), normaliser_(settings, part, dtype) {}

  Expected<Geometry> write(const Picture& picture, void* tensor) override {
    if (Status ready = prepare(picture, tensor); !ready) return ready.error();
    rows_->show(picture);
    resizer_->run(*rows_, normaliser_);
    return geometry_;
  }

 private:
  Status prepare(const Picture& picture, void* tensor) {
    const Frame& now = picture.frame;
    if (resizer_ && now.height == geometry_.original[0] && now.width == geometry_.original[1] &&
        now.encoding == encoding_) {
      return {};
    }
    resizer_.reset();
    const Expected<Geometry> geometry = place(now.height, now.width, settings_);
    if (!geometry) return geometry.error();
    geometry_ = *geometry;
    encoding_ = now.encoding;
    rows_ = std::make_unique<PictureRows<T>>(picture, settings_.colour == Colour::grey);
    const auto axis = [&](std::size_t at) {
      const std::int32_t filled = geometry_.content[2 + at];
      const bool crop = settings_.mode == Mode::crop;
      return Axis{geometry_.original[at], filled, crop ? -geometry_.content[at] : 0,
                  crop ? geometry_.tensor[at] : filled};
    };
    const ResizePlan plan{axis(0), axis(1), rows_->channels(), settings_.interpolation, settings_.antialias};
    normaliser_.aim(tensor, geometry_, plan.columns.count, plan.channels, rows_->red());
    if (plan.rows.count != settings_.rows || plan.columns.count != settings_.columns) normaliser_.fill_border();
    resizer_ = make_resizer<T>(plan);
    return {};
  }

  ImageSettings settings_;
  Normaliser<T> normaliser_;
  Geometry geometry_;
  Encoding encoding_ = Encoding::bgr8;
  std::unique_ptr<PictureRows<T>> rows_;
  std::unique_ptr<Resizer<T>> resizer_;
};

class Images final : public Input {
 public:
  Images(const TensorSpec& spec, const ImageSettings& settings) : name_(spec.name), settings_(settings) {
    for (std::size_t part = 0; part < settings.sources.size(); ++part) {
      if (settings.pixels == DType::uint8) {
        parts_.push_back(std::make_unique<PartOf<std::uint8_t>>(settings, part, spec.dtype));
      } else if (settings.pixels == DType::uint16) {
        parts_.push_back(std::make_unique<PartOf<std::uint16_t>>(settings, part, spec.dtype));
      } else {
        parts_.push_back(std::make_unique<PartOf<float>>(settings, part, spec.dtype));
      }
    }
  }

  Status reserve(const TensorSpec& spec) { return tensor_.resize(spec.shape, spec.dtype); }

  Status make(const Sources& sources, const Geometry*) override {
    for (std::size_t part = 0; part < parts_.size(); ++part) {
      const Expected<const Source*> source = sources.take(settings_.sources[part], name_);
      if (!source) return source.error();
      const Expected<Picture> picture = picture_of(**source);
      if (!picture) return picture.error();
      if (Status fits = check(**source, *picture); !fits) return fits;
      const Expected<Geometry> geometry = parts_[part]->write(*picture, tensor_.data());
      if (!geometry) return geometry.error();
      if (part == 0) geometry_ = *geometry;
    }
    return {};
  }

  const Geometry* placed() const noexcept override { return &geometry_; }

 private:
  Status check(const Source& source, const Picture& picture) const {
    if (picture.pixels != settings_.pixels) return other_pixels(source, picture);
    if (picture.pixels == DType::float32 && !all_finite(picture.frame)) {
      return Error{Code::frame, "preprocess." + name_ + ": the image '" + std::string(source.name) +
                                    "' holds NaN or infinity, and a resize spreads them: fill such pixels with the "
                                    "value that the network was trained with"};
    }
    return {};
  }

  static bool all_finite(const Frame& frame) {
    const auto count = static_cast<std::size_t>(frame.height) * static_cast<std::size_t>(frame.width) * 3;
    for (std::size_t at = 0; at < count; ++at) {
      float value = 0;
      std::memcpy(&value, frame.data + at * sizeof value, sizeof value);
      if (!std::isfinite(value)) return false;
    }
    return true;
  }

  Error other_pixels(const Source& source, const Picture& picture) const {
    const std::string key = "preprocess." + name_ + ".pixels";
    const std::string type = name_of(picture.pixels);
    const std::string found = "the image '" + std::string(source.name) + "' has " + type + " pixels, but " + key +
                              " is " + name_of(settings_.pixels) + ": ";
    if (picture.pixels == DType::uint8) {
      return {Code::frame, found + "leave these frames out, or write all of them in one type"};
    }
    const std::string full = picture.pixels == DType::uint16 ? "1.52590219e-05, which is 1 / 65535" : "1";
    return {Code::frame, found + "set pixels: " + type +
                             ", which takes the values as they are, with the scale, mean and std that the network was "
                             "trained with (such as scale: " +
                             full + "); or write 8-bit frames"};
  }

  std::string name_;
  ImageSettings settings_;
  std::vector<std::unique_ptr<Part>> parts_;
  Geometry geometry_;
};

}  // namespace

Expected<std::unique_ptr<Input>> make_image(const TensorSpec& spec, const ImageSettings& settings) {
  auto made = std::make_unique<Images>(spec, settings);
  if (Status room = made->reserve(spec); !room) return room.error();
  return std::unique_ptr<Input>(std::move(made));
}

}  // namespace edgekit::preprocessing
