// What a bundle keeps of a few frames: as they were read, what the model was fed, what the references made of it, and
// what the task made of that.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "edgekit/bundle.hpp"
#include "edgekit/frame.hpp"
#include "edgekit/result.hpp"
#include "edgekit/status.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// The arrays of a golden file, named `<role>.<frame>.<tensor>`: `input`, `output` (of the model as it was loaded, in
/// float32) and one role for each reference, such as "int8" (of a typed ONNX file, unoptimised).
///
/// Of a large output the file keeps some values: `shape.<frame>.<tensor>` is then the shape that it has, and value k is
/// the one at the flat place (k * 2654435769 mod 2**32) * size / 2**32 of its `size`.
class Golden {
 public:
  /// Name of the reference that every bundle has.
  static constexpr std::string_view loaded = "fp32";

  /// Code::bundle: no such file, or an array has a name that none of these has.
  static Expected<Golden> read(const std::filesystem::path& file) noexcept;
  /// Of a role of a bundle, "candidate" or "control".
  static Expected<Golden> of(const Bundle& bundle, std::string_view role = "candidate") noexcept;

  std::size_t frames() const noexcept { return frames_; }
  /// Names of the references, sorted; "fp32" for the model as it was loaded.
  std::vector<std::string> references() const;

  /// What the model was fed, in the order of `inputs`; views of this object's memory. Code::bundle: one is not there.
  Expected<std::vector<TensorView>> feeds(std::size_t frame, std::span<const TensorSpec> inputs) const noexcept;
  /// One input of a frame. Code::bundle: it is not there.
  Expected<TensorView> input(std::size_t frame, std::string_view name) const noexcept;
  /// One output of a reference, or the kept values of it (one dimension). Code::bundle: it is not there.
  Expected<TensorView> output(std::size_t frame, std::string_view name,
                              std::string_view reference = loaded) const noexcept;
  /// Whether the file has all values of an output.
  bool whole(std::size_t frame, std::string_view name) const noexcept;
  /// Those values of an engine's output that the references hold: all of it, or the selection. One of another shape
  /// than the references' is given back as it is. Code::out_of_memory.
  Expected<Tensor> kept(std::size_t frame, std::string_view name, const TensorView& output) const noexcept;

 private:
  std::size_t frames_ = 0;
  std::map<std::string, Tensor, std::less<>> arrays_;
};

/// One golden frame, with what the task made of the golden outputs of `GoldenFrames::reference`.
class GoldenFrame {
 public:
  std::string id;  ///< in the data set
  Geometry geometry;
  /// Empty (monostate) where the document keeps no prediction: outputs taken as they are, and other packages' tasks.
  Result prediction;

  /// The images (RGB or grey) and arrays as they were read; views of this object's memory, which stay valid when it is
  /// moved. Empty: the bundle keeps no raw frame.
  std::span<const Source> sources() const noexcept { return sources_; }

 private:
  friend class GoldenFramesReader;
  struct Held {
    std::string name;
    Tensor values;
  };
  std::vector<std::unique_ptr<Held>> held_;
  std::vector<Source> sources_;
};

/// A bundle's golden/predictions.json, and the frames that it names.
struct GoldenFrames {
  std::string task;       ///< kind of the task in bundle.json
  std::string reference;  ///< whose outputs were decoded: a precision, as Golden::output takes it
  std::vector<GoldenFrame> frames;

  /// Empty: a bundle of version 1, which keeps none.
  ///
  /// Code::bundle: the document is not what it should be, or a file is not what its record says.
  static Expected<std::optional<GoldenFrames>> read(const Bundle& bundle) noexcept;
};

}  // namespace edgekit
