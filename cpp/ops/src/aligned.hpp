// Numbers that begin at a line of the cache: a vector of 64 bytes that crosses two lines takes two reads.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace edgekit::ops {

inline constexpr std::size_t line = 64;

template <typename Element>
struct AtLine {
  using value_type = Element;
  AtLine() = default;
  template <typename Other>
  AtLine(const AtLine<Other>&) {}
  Element* allocate(std::size_t count) {
    return static_cast<Element*>(::operator new(count * sizeof(Element), std::align_val_t{line}));
  }
  void deallocate(Element* numbers, std::size_t) { ::operator delete(numbers, std::align_val_t{line}); }
  bool operator==(const AtLine&) const = default;
};

template <typename Element>
using Aligned = std::vector<Element, AtLine<Element>>;

}  // namespace edgekit::ops
