// The loop of a depthwise convolution over a level's vectors; included as conv_loop.hpp is.
//
//   Vector::bytes                    width
//   load(from)                       bytes
//   zip8(a, b, half), zip16(...)     bytes or pairs of two vectors in turn, of each 16 bytes their first or second half
//   begin(bias), dot(sums, x, w)     sums of four
//   end(sums[4], multipliers, zero, is_signed, to)   saturated when they become bytes: see fits
template <typename Vector, int groups, int columns>
inline void depthwise_at(const Repeated& repeated, const DepthwiseRow& row, std::size_t chunk, std::size_t at,
                         std::uint8_t* to) {
  constexpr std::size_t width = Vector::bytes;
  typename Vector::Sums sums[4];
  for (int part = 0; part < 4; ++part) {
    sums[part] = Vector::begin(repeated.bias.data() + chunk * width + part * (width / 4));
  }
  const std::int8_t* weights = repeated.weights.data() + chunk * groups * columns * width * 4;
  for (int group = 0; group < groups; ++group) {
    const std::uint8_t* const* taps = row.taps + group * 4 * columns;
    for (int column = 0; column < columns; ++column, weights += width * 4) {
      const auto a = Vector::load(taps[column] + at), b = Vector::load(taps[columns + column] + at);
      const auto c = Vector::load(taps[2 * columns + column] + at), d = Vector::load(taps[3 * columns + column] + at);
      const auto ab0 = Vector::template zip8<0>(a, b), ab1 = Vector::template zip8<1>(a, b);
      const auto cd0 = Vector::template zip8<0>(c, d), cd1 = Vector::template zip8<1>(c, d);
      sums[0] = Vector::dot(sums[0], Vector::template zip16<0>(ab0, cd0), weights);
      sums[1] = Vector::dot(sums[1], Vector::template zip16<1>(ab0, cd0), weights + width);
      sums[2] = Vector::dot(sums[2], Vector::template zip16<0>(ab1, cd1), weights + 2 * width);
      sums[3] = Vector::dot(sums[3], Vector::template zip16<1>(ab1, cd1), weights + 3 * width);
    }
  }
  Vector::end(sums, repeated.multipliers.data() + chunk * width, repeated.zero.data() + chunk * width, row.is_signed,
              to);
}

template <typename Vector, int groups, int columns>
inline void depthwise_row_of(const Repeated& repeated, const DepthwiseRow& row) {
  constexpr std::size_t width = Vector::bytes;
  std::size_t chunk = 0, at = 0;
  for (; at + width <= row.count; at += width) {
    depthwise_at<Vector, groups, columns>(repeated, row, chunk, at, row.to + at);
    chunk = chunk + 1 == repeated.chunks ? 0 : chunk + 1;
  }
  if (at < row.count) {
    std::uint8_t made[width];
    depthwise_at<Vector, groups, columns>(repeated, row, chunk, at, made);
    __builtin_memcpy(row.to + at, made, row.count - at);
  }
}

template <typename Vector>
inline void depthwise_row(const Repeated& repeated, const DepthwiseRow& row) {
  if (row.kernel_w == 3 && repeated.groups == 1) return depthwise_row_of<Vector, 1, 3>(repeated, row);
  if (row.kernel_w == 5 && repeated.groups == 2) return depthwise_row_of<Vector, 2, 5>(repeated, row);
}
