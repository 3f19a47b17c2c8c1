#include "files/npy_header.hpp"

#include <array>
#include <charconv>
#include <utility>

namespace edgekit {
namespace {

Error wrong(std::string why) { return {Code::bundle, std::move(why)}; }
Error not_understood() { return wrong("an array header that is not understood"); }

bool take(std::string_view& text, std::string_view part) {
  if (!text.starts_with(part)) return false;
  text.remove_prefix(part.size());
  return true;
}

/// Up to the mark, which is taken too.
std::string_view take_until(std::string_view& text, char mark) {
  const std::size_t end = std::min(text.find(mark), text.size());
  const std::string_view found = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return found;
}

Expected<DType> dtype_of_descr(std::string_view descr) {
  static constexpr std::array<std::pair<std::string_view, DType>, 12> known{{{"<f4", DType::float32},
                                                                             {"<f8", DType::float64},
                                                                             {"<f2", DType::float16},
                                                                             {"|i1", DType::int8},
                                                                             {"|u1", DType::uint8},
                                                                             {"<i2", DType::int16},
                                                                             {"<u2", DType::uint16},
                                                                             {"<i4", DType::int32},
                                                                             {"<u4", DType::uint32},
                                                                             {"<i8", DType::int64},
                                                                             {"<u8", DType::uint64},
                                                                             {"|b1", DType::boolean}}};
  for (const auto& [name, dtype] : known) {
    if (descr == name) return dtype;
  }
  return wrong("an array of dtype '" + std::string(descr.substr(0, 20)) + "', which is not read");
}

/// The inside of the brackets: "", "3,", "1, 3".
Expected<Shape> shape_of(std::string_view text) {
  std::array<std::int64_t, Shape::most> sizes{};
  std::size_t rank = 0;
  while (!text.empty()) {
    if (rank == sizes.size()) return wrong("an array of more than 8 dimensions");
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), sizes[rank]);
    if (problem == std::errc::result_out_of_range) return wrong("an array too large to be true");
    if (problem != std::errc{} || sizes[rank] < 0) return not_understood();
    ++rank;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (!text.empty() && !take(text, ",")) return not_understood();
    take(text, " ");
  }
  return Shape(std::span(sizes.data(), rank));
}

}  // namespace

Expected<NpyPlace> npy_place(std::string_view prefix) {
  const auto byte = [prefix](std::size_t at) { return std::size_t{static_cast<unsigned char>(prefix[at])}; };
  if (prefix.size() < npy_prefix || !prefix.starts_with("\x93NUMPY")) return wrong("no array of NumPy");
  NpyPlace made{10, byte(8) | byte(9) << 8};
  if (byte(6) == 2) {
    made = {12, made.length | byte(10) << 16 | byte(11) << 24};
  } else if (byte(6) != 1) {
    return wrong("an array of format " + std::to_string(byte(6)) + ", which is not read");
  }
  if (made.length > longest_npy_header) return wrong("an array header that is too long");
  return made;
}

Expected<NpyHeader> npy_header(std::string_view text) {
  if (!take(text, "{'descr': '")) return not_understood();
  const Expected<DType> dtype = dtype_of_descr(take_until(text, '\''));
  if (!dtype) return dtype.error();
  NpyHeader made;
  made.dtype = *dtype;
  if (!take(text, ", 'fortran_order': ")) return not_understood();
  made.fortran = take(text, "True");
  if (!made.fortran && !take(text, "False")) return not_understood();
  if (!take(text, ", 'shape': (")) return not_understood();
  const Expected<Shape> shape = shape_of(take_until(text, ')'));
  if (!shape) return shape.error();
  made.shape = *shape;
  if (!take(text, ", }") || text.find_first_not_of(" \n") != text.npos) return not_understood();
  return made;
}

}  // namespace edgekit
