#include "files/npz.hpp"

#include <zip.h>

#include <cstring>
#include <memory>
#include <regex>
#include <vector>

namespace edgekit {
namespace {

constexpr std::string_view magic{"\x93NUMPY", 6};

struct CloseArchive {
  void operator()(zip_t* archive) const noexcept { zip_discard(archive); }
};
struct CloseMember {
  void operator()(zip_file_t* member) const noexcept { zip_fclose(member); }
};

struct Header {
  DType dtype;
  Shape shape;
  std::size_t length;  // of everything before the values
};

Error damaged(const std::string& place, const std::string& why) {
  return {Code::bundle, place + ": " + why + "; copy or build the bundle again"};
}

Expected<DType> dtype_of_descr(const std::string& descr, const std::string& place) {
  static const std::map<std::string, DType> known{
      {"<f4", DType::float32}, {"<f8", DType::float64}, {"<f2", DType::float16}, {"|i1", DType::int8},
      {"|u1", DType::uint8},   {"<i2", DType::int16},   {"<u2", DType::uint16},  {"<i4", DType::int32},
      {"<u4", DType::uint32},  {"<i8", DType::int64},   {"<u8", DType::uint64},  {"|b1", DType::boolean}};
  const auto found = known.find(descr);
  if (found == known.end()) return damaged(place, "an array of dtype '" + descr + "', which is not read");
  return found->second;
}

Expected<Header> header_of(const std::vector<char>& file, const std::string& place) {
  if (file.size() < 12 || std::string_view(file.data(), magic.size()) != magic) {
    return damaged(place, "no array of NumPy");
  }
  const int version = file[6];
  std::size_t length = static_cast<unsigned char>(file[8]) + 256U * static_cast<unsigned char>(file[9]);
  std::size_t start = 10;
  if (version == 2) {
    std::uint32_t wide = 0;
    std::memcpy(&wide, file.data() + 8, sizeof wide);
    length = wide;
    start = 12;
  } else if (version != 1) {
    return damaged(place, "an array of format " + std::to_string(version) + ", which is not read");
  }
  if (length > 65536 || start + length > file.size()) return damaged(place, "truncated");
  const std::string text(file.data() + start, length);
  static const std::regex form(
      R"(^\{'descr': '([<|][a-z][0-9])', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), \} *\n?$)");
  std::smatch found;
  if (!std::regex_match(text, found, form)) return damaged(place, "an array header that is not understood");
  if (found[2] == "True") return damaged(place, "an array in Fortran order, which is not read");
  const Expected<DType> dtype = dtype_of_descr(found[1], place);
  if (!dtype) return dtype.error();
  std::vector<std::int64_t> sizes;
  const std::string listed = found[3];
  static const std::regex number("[0-9]+");
  for (std::sregex_iterator at(listed.begin(), listed.end(), number), end; at != end; ++at) {
    if (at->length() > 15) return damaged(place, "an array too large to be true");
    sizes.push_back(std::stoll(at->str()));
  }
  if (sizes.size() > Shape::most) return damaged(place, "an array of more than 8 dimensions");
  return Header{*dtype, Shape(sizes), start + length};
}

Expected<Tensor> tensor_of(const std::vector<char>& file, const std::string& place) {
  const Expected<Header> header = header_of(file, place);
  if (!header) return header.error();
  const std::int64_t elements = header->shape.elements();
  const std::size_t held = file.size() - header->length;
  if (elements < 0 || static_cast<std::uint64_t>(elements) != held / size_of(header->dtype) ||
      held % size_of(header->dtype) != 0) {
    return damaged(place, "truncated, or longer than it says");
  }
  Tensor made;
  if (Status room = made.resize(header->shape, header->dtype); !room) return room.error();
  if (held > 0) std::memcpy(made.data(), file.data() + header->length, held);
  return made;
}

}  // namespace

Expected<std::map<std::string, Tensor>> read_npz(const std::filesystem::path& file, std::uint64_t most_bytes) {
  int problem = 0;
  const std::unique_ptr<zip_t, CloseArchive> archive(zip_open(file.c_str(), ZIP_RDONLY, &problem));
  if (!archive) return damaged(file.string(), "no archive of arrays");
  std::map<std::string, Tensor> made;
  std::uint64_t total = 0;
  for (zip_int64_t index = 0; index < zip_get_num_entries(archive.get(), 0); ++index) {
    zip_stat_t entry;
    zip_stat_init(&entry);
    constexpr zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE;
    if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(index), 0, &entry) != 0 ||
        (entry.valid & needed) != needed) {
      return damaged(file.string(), "damaged");
    }
    std::string name = entry.name;
    const std::string place = file.string() + "/" + name;
    if (entry.size > most_bytes || (total += entry.size) > most_bytes) return damaged(place, "larger than allowed");
    const std::unique_ptr<zip_file_t, CloseMember> member(
        zip_fopen_index(archive.get(), static_cast<zip_uint64_t>(index), 0));
    if (!member) return damaged(place, "damaged");
    std::vector<char> content(entry.size);
    if (zip_fread(member.get(), content.data(), entry.size) != static_cast<zip_int64_t>(entry.size)) {
      return damaged(place, "truncated, or damaged");
    }
    Expected<Tensor> tensor = tensor_of(content, place);
    if (!tensor) return tensor.error();
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    made.insert_or_assign(std::move(name), std::move(*tensor));
  }
  return made;
}

}  // namespace edgekit
