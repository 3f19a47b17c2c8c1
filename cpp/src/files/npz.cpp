#include "files/npz.hpp"

#include <zip.h>

#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "core/memory.hpp"
#include "files/npy_header.hpp"
#include "files/zip_handles.hpp"

namespace edgekit {
namespace {

/// What deflate makes of a byte, at most: a member of a few bytes is not believed that it holds gigabytes.
constexpr std::uint64_t largest_ratio = 1032;

Error damaged(const std::string& place, const std::string& why) {
  return {Code::bundle, place + ": " + why + "; copy or build the bundle again"};
}

/// What libzip says, where it may be that there is no memory.
Error failed(const std::string& place, int code, const char* why) {
  if (code == ZIP_ER_MEMORY || memory_is_short()) return {Code::out_of_memory, place + ": no memory to read it"};
  return damaged(place, why);
}

/// One member, read from its begin to its end.
class Member {
 public:
  Member(std::string place, std::uint64_t size) : place_(std::move(place)), left_(size) {}

  Status open(zip_t* archive, zip_uint64_t index) {
    stream_.reset(zip_fopen_index(archive, index, 0));
    if (stream_) return {};
    return failed(place_, zip_error_code_zip(zip_get_error(archive)), "damaged");
  }

  Expected<Tensor> array() {
    std::array<char, npy_prefix> prefix{};
    if (Status got = take(prefix.data(), prefix.size()); !got) return got.error();
    const Expected<NpyPlace> place = npy_place({prefix.data(), prefix.size()});
    if (!place) return because(place.error());
    std::string text(prefix.data() + place->start, npy_prefix - place->start);
    if (place->length < text.size()) return damaged(place_, "an array header that is not understood");
    text.resize(place->length);
    const std::size_t had = npy_prefix - place->start;
    if (Status got = take(text.data() + had, text.size() - had); !got) return got.error();
    const Expected<NpyHeader> header = npy_header(text);
    if (!header) return because(header.error());
    return values(*header);
  }

 private:
  Error because(const Error& error) const { return damaged(place_, error.message); }

  Status take(void* into, std::uint64_t count) {
    auto* at = static_cast<char*>(into);
    if (count > left_) return damaged(place_, "truncated");
    left_ -= count;
    while (count > 0) {
      const zip_int64_t got = zip_fread(stream_.get(), at, count);
      if (got <= 0)
        return failed(place_, zip_error_code_zip(zip_file_get_error(stream_.get())), "truncated, or damaged");
      at += got;
      count -= static_cast<std::uint64_t>(got);
    }
    return {};
  }

  /// The end: only there the archive's own checksum is compared.
  Status finish() {
    char more = 0;
    const zip_int64_t got = zip_fread(stream_.get(), &more, 1);
    if (got == 0) return {};
    if (got > 0) return damaged(place_, "longer than it says");
    return failed(place_, zip_error_code_zip(zip_file_get_error(stream_.get())), "truncated, or damaged");
  }

  Expected<Tensor> values(const NpyHeader& header) {
    const std::int64_t elements = header.shape.elements();
    const std::size_t width = size_of(header.dtype);
    if (elements < 0 || static_cast<std::uint64_t>(elements) != left_ / width || left_ % width != 0) {
      return damaged(place_, "truncated, or longer than it says");
    }
    Tensor made;
    if (Status room = made.resize(header.shape, header.dtype); !room) return room.error();
    if (Status got = take(made.data(), left_); !got) return got.error();
    if (Status end = finish(); !end) return end.error();
    return header.fortran ? in_c_order(made) : std::move(made);
  }

  /// The same values, the last index running fastest.
  static Expected<Tensor> in_c_order(const Tensor& fortran) {
    Tensor made;
    const Shape& shape = fortran.shape();
    if (Status room = made.resize(shape, fortran.dtype()); !room) return room.error();
    const std::size_t width = size_of(fortran.dtype());
    std::array<std::int64_t, Shape::most> index{};
    for (std::size_t to = 0; to < made.bytes(); to += width) {
      std::int64_t from = 0;
      for (std::size_t axis = shape.rank(); axis-- > 0;) from = from * shape[axis] + index[axis];
      std::memcpy(static_cast<char*>(made.data()) + to,
                  static_cast<const char*>(fortran.data()) + static_cast<std::size_t>(from) * width, width);
      for (std::size_t axis = shape.rank(); axis-- > 0 && ++index[axis] == shape[axis];) index[axis] = 0;
    }
    return made;
  }

  std::string place_;
  std::uint64_t left_;  // bytes that are still to come
  ArchiveMember stream_;
};

/// Name and size of a member; what the archive says of it is not believed where it cannot be.
Expected<zip_stat_t> entry_of(zip_t* archive, zip_uint64_t index, const std::string& file) {
  zip_stat_t entry;
  zip_stat_init(&entry);
  if (zip_stat_index(archive, index, 0, &entry) != 0) {
    return failed(file, zip_error_code_zip(zip_get_error(archive)), "damaged");
  }
  constexpr zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
  if ((entry.valid & needed) != needed) return damaged(file, "damaged");
  const bool known = entry.comp_method == ZIP_CM_STORE || entry.comp_method == ZIP_CM_DEFLATE;
  if (!known) return damaged(file, "compressed in a way that NumPy does not use");
  if (entry.size / largest_ratio > entry.comp_size) return damaged(file, "larger than its archive can hold");
  return entry;
}

Expected<std::map<std::string, Tensor>> arrays_of(const std::filesystem::path& file, std::uint64_t most_bytes) {
  int problem = 0;
  const ArchiveHandle archive(zip_open(file.c_str(), ZIP_RDONLY, &problem));
  if (!archive) return failed(file.string(), problem, "no archive of arrays");
  std::map<std::string, Tensor> made;
  std::uint64_t total = 0;
  const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  for (zip_uint64_t index = 0; index < static_cast<zip_uint64_t>(count); ++index) {
    const Expected<zip_stat_t> entry = entry_of(archive.get(), index, file.string());
    if (!entry) return entry.error();
    std::string name = entry->name;
    const std::string place = file.string() + "/" + name;
    if (entry->size > most_bytes || (total += entry->size) > most_bytes) return damaged(place, "larger than allowed");
    Member member(place, entry->size);
    if (Status opened = member.open(archive.get(), index); !opened) return opened.error();
    Expected<Tensor> array = member.array();
    if (!array) return array.error();
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    made.insert_or_assign(std::move(name), std::move(*array));
  }
  return made;
}

}  // namespace

Expected<std::map<std::string, Tensor>> read_npz(const std::filesystem::path& file, std::uint64_t most_bytes) {
  try {
    return arrays_of(file, most_bytes);
  } catch (const std::bad_alloc&) {
    return Error{Code::out_of_memory, {}};
  }
}

}  // namespace edgekit
