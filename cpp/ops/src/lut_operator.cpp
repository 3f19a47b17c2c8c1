// LutU8: any function of a rounded tensor.
//
//   x      uint8 or int8, any shape; of rank 4 where every channel has a function of its own
//   table  uint8, (256) or (channels, 256): the byte of y for every byte of x
//   y      as x
//   channels_last  whether the channels of x are its last axis, else its second
#include <algorithm>

#include "list.hpp"
#include "lut.hpp"
#include "operator.hpp"

namespace edgekit::ops {
namespace {

constexpr std::size_t block = 1 << 15;  // bytes of one thread's turn

class Lut {
 public:
  Lut(const OrtApi& api, const Node& node)
      : api_(api), table_(node.constant(1)), channels_last_(node.integer("channels_last") != 0), level_(chosen()) {
    const auto& shape = table_.shape;
    const bool fits = !shape.empty() && shape.size() <= 2 && shape.back() == 256;
    if (!fits || size_of(table_.type) != 1)
      throw std::invalid_argument("LutU8: the table is not (256) or (channels, 256) bytes");
    channels_ = shape.size() == 2 ? static_cast<std::size_t>(shape[0]) : 0;
  }

  const OrtApi& api() const { return api_; }

  void compute(OrtKernelContext* context) const {
    View view;
    const std::uint8_t* from = input(api_, context, 0, view);
    if (size_of(view.type) != 1) throw std::invalid_argument("LutU8: x is neither uint8 nor int8");
    std::uint8_t* to = output(api_, context, 0, view.shape);
    if (view.elements == 0) return;
    if (channels_ == 0) return flat(context, from, to, view.elements);
    const auto& shape = view.shape;
    if (shape.size() != 4 || static_cast<std::size_t>(shape[channels_last_ ? 3 : 1]) != channels_) {
      throw std::invalid_argument("LutU8: x has not the " + std::to_string(channels_) + " channels of its tables");
    }
    if (channels_last_) return rows(context, from, to, view.elements / channels_);
    planes(context, from, to, static_cast<std::size_t>(shape[0]) * channels_,
           static_cast<std::size_t>(shape[2] * shape[3]));
  }

 private:
  void flat(OrtKernelContext* context, const std::uint8_t* from, std::uint8_t* to, std::size_t count) const {
    auto part = [&](std::size_t index) {
      const std::size_t first = index * block;
      lut(from + first, to + first, std::min(block, count - first), table_.bytes.data(), level_);
    };
    parallel(api_, context, (count + block - 1) / block, part);
  }

  void rows(OrtKernelContext* context, const std::uint8_t* from, std::uint8_t* to, std::size_t count) const {
    const std::size_t many = std::max<std::size_t>(64, block / channels_ / 64 * 64);  // whole tiles
    auto part = [&](std::size_t index) {
      const std::size_t first = index * many, at = first * channels_;
      lut_rows(from + at, to + at, std::min(many, count - first), channels_, table_.bytes.data(), level_);
    };
    parallel(api_, context, (count + many - 1) / many, part);
  }

  void planes(OrtKernelContext* context, const std::uint8_t* from, std::uint8_t* to, std::size_t count,
              std::size_t size) const {
    auto part = [&](std::size_t plane) {
      lut(from + plane * size, to + plane * size, size, table_.bytes.data() + plane % channels_ * 256, level_);
    };
    parallel(api_, context, count, part);
  }

  const OrtApi& api_;
  Constant table_;
  bool channels_last_;
  Level level_;
  std::size_t channels_ = 0;  // 0: one table for all
};

}  // namespace

const OrtCustomOp* lut_operator(const OrtApi& api) {
  static const Operator<Lut> made(api, "LutU8", {any, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8}, any,
                                  Output::like_the_input);
  return &made;
}

}  // namespace edgekit::ops
