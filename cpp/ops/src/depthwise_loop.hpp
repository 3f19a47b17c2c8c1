// The loop of a depthwise convolution over a level's vectors; included as conv_loop.hpp is.
//
//   Vector::bytes                    width
//   load(from), none()               bytes; zeros
//   zip8(a, b, half), zip16(...)     bytes or pairs of two vectors in turn, of each 16 bytes their first or second half
//   begin(bias), dot(sums, x, w)     sums of four
//   end(sums[4], multipliers, zero, is_signed, to)   saturated when they become bytes: see fits
template <typename Vector, int rows, int columns>
inline void depthwise_at(const std::uint8_t* const* from, const std::size_t* along, const Numbers& numbers,
                         bool is_signed, std::uint8_t* to) {
  constexpr std::size_t width = Vector::bytes;
  typename Vector::Sums sums[4];
  for (int part = 0; part < 4; ++part) sums[part] = Vector::begin(numbers.bias + part * (width / 4));
  const std::int8_t* weights = numbers.weights;
  for (int group = 0; group < (rows + 3) / 4; ++group) {
    for (int column = 0; column < columns; ++column, weights += width * 4) {
      const auto row = [&](int at) {
        const int index = group * 4 + at;
        return index < rows ? Vector::load(from[index] + along[column]) : Vector::none();
      };
      const auto a = row(0), b = row(1), c = row(2), d = row(3);
      const auto ab0 = Vector::template zip8<0>(a, b), ab1 = Vector::template zip8<1>(a, b);
      const auto cd0 = Vector::template zip8<0>(c, d), cd1 = Vector::template zip8<1>(c, d);
      sums[0] = Vector::dot(sums[0], Vector::template zip16<0>(ab0, cd0), weights);
      sums[1] = Vector::dot(sums[1], Vector::template zip16<1>(ab0, cd0), weights + width);
      sums[2] = Vector::dot(sums[2], Vector::template zip16<0>(ab1, cd1), weights + 2 * width);
      sums[3] = Vector::dot(sums[3], Vector::template zip16<1>(ab1, cd1), weights + 3 * width);
    }
  }
  Vector::end(sums, numbers.multipliers, numbers.zero, is_signed, to);
}

/// Vectors of the same numbers one after the other: what they need stays near, and no pointer is read twice.
template <typename Vector, int rows, int columns>
inline void depthwise_row_of(const Repeated& repeated, const DepthwiseRow& row) {
  constexpr std::size_t width = Vector::bytes;
  const std::size_t step = repeated.chunks * width, count = row.count;
  std::size_t along[columns];
  for (int column = 0; column < columns; ++column) along[column] = row.columns[column];
  for (std::size_t chunk = 0; chunk < repeated.chunks; ++chunk) {
    const Numbers numbers = repeated.at(chunk, width);
    const std::uint8_t* from[rows];
    for (int index = 0; index < rows; ++index) from[index] = row.rows[index] + chunk * width;
    std::size_t at = chunk * width;
    for (; at + width <= count; at += step) {
      depthwise_at<Vector, rows, columns>(from, along, numbers, row.is_signed, row.to + at);
      for (int index = 0; index < rows; ++index) from[index] += step;
    }
    if (at < count) {
      std::uint8_t made[width];
      depthwise_at<Vector, rows, columns>(from, along, numbers, row.is_signed, made);
      __builtin_memcpy(row.to + at, made, count - at);
    }
  }
}

template <typename Vector>
inline void depthwise_row(const Repeated& repeated, const DepthwiseRow& row) {
  if (row.kernel_h == 3 && row.kernel_w == 3) return depthwise_row_of<Vector, 3, 3>(repeated, row);
  if (row.kernel_h == 5 && row.kernel_w == 5) return depthwise_row_of<Vector, 5, 5>(repeated, row);
}
