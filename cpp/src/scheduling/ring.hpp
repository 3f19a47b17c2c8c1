// A ring that one thread fills and others read without stopping it.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace edgekit {

/// Keeps the last `Slots` - 1 values. One push() at a time; newest() from any thread.
///
/// A reader copies slots and then looks how far the writer has come meanwhile: what may have been written over is left
/// out. Words are atomic, so a copy of a slot that is being written is torn but no data race. A word is stored with
/// release and loaded with acquire: a reader that got a word of value N has to find `head_` at N or beyond, and
/// leaves the slot out. So no fences are needed, which ThreadSanitizer does not know.
template <class T, std::size_t Slots>
class Ring {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(std::uint64_t) == 0);
  static_assert(std::has_single_bit(Slots) && Slots >= 2);

 public:
  void push(const T& value) noexcept {
    const std::uint64_t at = head_.load(std::memory_order_relaxed);
    const auto raw = std::bit_cast<std::array<std::uint64_t, words>>(value);
    Slot& slot = slots_[at % Slots];
    for (std::size_t word = 0; word < words; ++word) slot[word].store(raw[word], std::memory_order_release);
    head_.store(at + 1, std::memory_order_release);
  }

  /// Copies the last values, oldest first, and returns how many; fewer than are there when the writer has overtaken.
  std::size_t newest(std::span<T> out) const noexcept {
    const std::uint64_t end = head_.load(std::memory_order_acquire);
    const std::uint64_t wanted = std::min<std::uint64_t>({out.size(), end, Slots - 1});
    const std::uint64_t begin = end - wanted;
    for (std::uint64_t at = begin; at < end; ++at) out[at - begin] = copy(slots_[at % Slots]);
    // The slot of `now` may be half written: it is that of `now - Slots`.
    const std::uint64_t now = head_.load(std::memory_order_acquire);
    const std::uint64_t whole = now < Slots ? 0 : now - Slots + 1;
    if (whole <= begin) return wanted;
    const std::uint64_t lost = std::min<std::uint64_t>(whole - begin, wanted);
    std::copy(out.begin() + lost, out.begin() + wanted, out.begin());
    return wanted - lost;
  }

  /// The last value; a default one before the first.
  T last() const noexcept {
    T value{};
    while (head_.load(std::memory_order_acquire) > 0 && newest(std::span<T>(&value, 1)) == 0) {
    }  // overtaken by a whole round: there is a newer one
    return value;
  }

 private:
  static constexpr std::size_t words = sizeof(T) / sizeof(std::uint64_t);
  using Slot = std::array<std::atomic<std::uint64_t>, words>;

  static T copy(const Slot& slot) noexcept {
    std::array<std::uint64_t, words> raw;
    for (std::size_t word = 0; word < words; ++word) raw[word] = slot[word].load(std::memory_order_acquire);
    return std::bit_cast<T>(raw);
  }

  std::array<Slot, Slots> slots_{};
  std::atomic<std::uint64_t> head_{0};
};

}  // namespace edgekit
