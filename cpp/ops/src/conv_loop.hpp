// The loop of a convolution over a level's arithmetic. Each file that includes this compiles it for its own
// instructions, so it is in no namespace that they share, and uses nothing of the standard library.
//
//   Arithmetic::Sums   sums of 16 outputs
//   begin(bias)        int32 (16)
//   add(sums, x, w)    for every output the products of four bytes of x and four of its weights, (16, 4) int8
//   end(sums, multipliers, row, to)   16 bytes
//   together           pixels whose sums fit in registers
//
// ``fixed``: the stride where it is known while this is compiled, so that pixels need no address of their own; or 0.
template <typename Arithmetic, std::size_t count, std::size_t fixed>
inline void pixels_at(const Packed& packed, const Row& row, std::size_t block, std::size_t pixel) {
  const std::size_t stride = fixed != 0 ? fixed : row.stride;
  typename Arithmetic::Sums sums[count];
  const std::int8_t* weights = packed.weights.data() + block * packed.rows * packed.groups * lanes * 4;
  for (std::size_t at = 0; at < count; ++at) sums[at] = Arithmetic::begin(packed.bias.data() + block * lanes);
  for (std::size_t index = 0; index < packed.rows; ++index) {
    const std::uint8_t* from = row.rows[index] + pixel * stride;
    for (std::size_t group = 0; group < packed.groups; ++group, from += 4, weights += lanes * 4) {
      for (std::size_t at = 0; at < count; ++at) Arithmetic::add(sums[at], from + at * stride, weights);
    }
  }
  const std::size_t first = block * lanes;
  const std::size_t many = row.outputs - first < lanes ? row.outputs - first : lanes;
  for (std::size_t at = 0; at < count; ++at) {
    std::uint8_t made[lanes];
    Arithmetic::end(sums[at], packed.multipliers.data() + first, row, made);
    std::uint8_t* to = row.to + (pixel + at) * row.outputs + first;
    if (many == lanes) {
      __builtin_memcpy(to, made, lanes);
    } else {
      __builtin_memcpy(to, made, many);
    }
  }
}

template <typename Arithmetic, std::size_t fixed>
inline void conv_row_of(const Packed& packed, const Row& row) {
  constexpr std::size_t together = Arithmetic::together;
  for (std::size_t block = 0; block < packed.blocks; ++block) {
    std::size_t pixel = 0;
    for (; pixel + together <= row.pixels; pixel += together) {
      pixels_at<Arithmetic, together, fixed>(packed, row, block, pixel);
    }
    for (; pixel < row.pixels; ++pixel) pixels_at<Arithmetic, 1, fixed>(packed, row, block, pixel);
  }
}

template <typename Arithmetic>
inline void conv_row(const Packed& packed, const Row& row) {
  if (row.stride == 2) return conv_row_of<Arithmetic, 2>(packed, row);
  conv_row_of<Arithmetic, 0>(packed, row);
}
