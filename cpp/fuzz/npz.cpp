// A .npz file; and, since a mutated archive seldom passes its checksums, the header of an array alone.
#include "files/npz.hpp"

#include <cstdlib>
#include <string_view>

#include "files/npy_header.hpp"
#include "fuzz/memory_file.hpp"

namespace {

void read_header(std::string_view text) {
  using namespace edgekit;
  if (const auto place = npy_place(text)) {
    if (place->start > npy_prefix || place->length > longest_npy_header) std::abort();
    text.remove_prefix(place->start);
  }
  if (const auto header = npy_header(text)) {
    if (header->shape.rank() > Shape::most) std::abort();
    (void)header->shape.elements();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace edgekit;
  read_header({reinterpret_cast<const char*>(data), size});
  const fuzz::MemoryFile file(data, size);
  constexpr std::uint64_t most = 64 << 20;
  if (const auto arrays = read_npz(file.path(), most)) {
    std::uint64_t total = 0;
    for (const auto& [name, tensor] : *arrays) total += tensor.bytes();
    if (total > most) std::abort();
  }
  return 0;
}
