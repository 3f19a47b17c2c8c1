// The loops of a bilinear resizing over a level's vectors; included as conv_loop.hpp is.
//
//   Vector::lanes                    floats
//   load(from), all(value), store(to, x), add, multiply
//   pick(line, index, at)            line[index[i]] of ``lanes`` neighbours that lie within ``lanes`` from ``at``
//   bytes(x, rounding, to)           as many bytes
//
// Products and sums are in the order of ONNX Runtime's, each rounded by itself (-ffp-contract=off).
template <typename Vector>
inline void resize_spread(const float* line, const std::int32_t* first, const std::int32_t* second, std::size_t count,
                          float* to_first, float* to_second) {
  constexpr std::size_t lanes = Vector::lanes;
  for (std::size_t at = 0; at < count; at += lanes) {
    const std::size_t last = (at + lanes < count ? at + lanes : count) - 1;
    const std::int32_t begin = first[at];
    if (lanes > 1 && static_cast<std::size_t>(second[last] - begin) < lanes) {
      Vector::store(to_first + at, Vector::pick(line + begin, first + at, begin));
      Vector::store(to_second + at, Vector::pick(line + begin, second + at, begin));
    } else {
      for (std::size_t place = at; place <= last; ++place) {
        to_first[place] = line[first[place]];
        to_second[place] = line[second[place]];
      }
    }
  }
}

template <typename Vector, typename Floats>
inline Floats resize_mixed(const Floats (&values)[4], const Floats (&shares)[4]) {
  Floats sum = Vector::multiply(shares[0], values[0]);
  for (int part = 1; part < 4; ++part) sum = Vector::add(sum, Vector::multiply(shares[part], values[part]));
  return sum;
}

/// Writes what a vector holds, or the first ``count`` of it.
template <typename Vector, typename Floats>
inline void resize_put(Floats x, const Rounding&, std::size_t count, float* to) {
  if (count >= Vector::lanes) return Vector::store(to, x);
  float made[Vector::lanes];
  Vector::store(made, x);
  __builtin_memcpy(to, made, count * sizeof(float));
}

template <typename Vector, typename Floats>
inline void resize_put(Floats x, const Rounding& rounding, std::size_t count, std::uint8_t* to) {
  if (count >= Vector::lanes) return Vector::bytes(x, rounding, to);
  std::uint8_t made[Vector::lanes];
  Vector::bytes(x, rounding, made);
  __builtin_memcpy(to, made, count);
}

template <typename Vector, typename Made>
inline void resize_plane(const PlaneRow& row, Made* to) {
  const auto upper = Vector::all(row.of_upper), lower = Vector::all(row.of_lower);
  for (std::size_t at = 0; at < row.count; at += Vector::lanes) {
    const auto first = Vector::load(row.of_first + at), second = Vector::load(row.of_second + at);
    const decltype(first) values[4] = {Vector::load(row.upper_first + at), Vector::load(row.upper_second + at),
                                       Vector::load(row.lower_first + at), Vector::load(row.lower_second + at)};
    const decltype(first) shares[4] = {Vector::multiply(first, upper), Vector::multiply(second, upper),
                                       Vector::multiply(first, lower), Vector::multiply(second, lower)};
    resize_put<Vector>(resize_mixed<Vector>(values, shares), row.rounding, row.count - at, to + at);
  }
}

template <typename Vector, typename Made>
inline void resize_pixels(const PixelRow& row, Made* to) {
  for (std::size_t pixel = 0; pixel < row.count; ++pixel, to += row.channels) {
    const std::size_t first = static_cast<std::size_t>(row.first[pixel]) * row.channels;
    const std::size_t second = static_cast<std::size_t>(row.second[pixel]) * row.channels;
    const decltype(Vector::all(0.0F)) shares[4] = {
        Vector::all(row.of_first[pixel] * row.of_upper), Vector::all(row.of_second[pixel] * row.of_upper),
        Vector::all(row.of_first[pixel] * row.of_lower), Vector::all(row.of_second[pixel] * row.of_lower)};
    for (std::size_t at = 0; at < row.channels; at += Vector::lanes) {
      const decltype(Vector::all(0.0F)) values[4] = {
          Vector::load(row.upper + first + at), Vector::load(row.upper + second + at),
          Vector::load(row.lower + first + at), Vector::load(row.lower + second + at)};
      resize_put<Vector>(resize_mixed<Vector>(values, shares), row.rounding, row.channels - at, to + at);
    }
  }
}

template <typename Vector>
inline constexpr ResizeKernels resize_kernels{resize_spread<Vector>, resize_plane<Vector, float>,
                                              resize_plane<Vector, std::uint8_t>, resize_pixels<Vector, float>,
                                              resize_pixels<Vector, std::uint8_t>};
