// One camera's place for the frame that waits, beside the one that runs and the one that is being copied.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "edgekit/frame.hpp"
#include "edgekit/scheduler.hpp"
#include "edgekit/tensor.hpp"

namespace edgekit {

/// A frame, its memory if it is a copy, and when it came.
struct Slot {
  Tensor memory;  ///< of copies; keeps its size
  Frame frame;
  Release release;  ///< of a borrowed one
  std::uint64_t sequence = 0;
  std::chrono::nanoseconds submitted{};
};

/// Three slots that change their roles, so that nobody ever waits for a copy. Not safe by itself: its owner locks,
/// but for what a slot holds, which belongs to whom the slot was given.
class Mailbox {
 public:
  /// Makes room for frames of so many bytes without padding. Code::out_of_memory.
  Status reserve(std::size_t bytes);

  /// A slot to fill; one at a time, until put() or cancel().
  Slot& fill();
  void cancel();
  /// The filled slot waits from now on; what it replaces goes, and its release is returned to be called.
  Release put();
  /// The frame that waits is dropped.
  Release drop();
  /// The frame that waits runs from now on, until done().
  Slot& take();
  /// The frame that runs is no longer needed.
  Release done();

 private:
  static constexpr std::uint8_t none = 3;
  Release emptied(std::uint8_t& role);

  std::array<Slot, 3> slots_;
  std::uint8_t filling_ = none;
  std::uint8_t waiting_ = none;
  std::uint8_t running_ = none;
};

/// Copies a frame into a slot's memory, row after row without padding. Code::out_of_memory: it has no room yet.
Status pack(const Frame& frame, Slot& slot);
/// Bytes of all rows without padding.
std::size_t packed_bytes(const Frame& frame) noexcept;

inline void call(const Release& release) {
  if (release.call != nullptr) release.call(release.context);
}

}  // namespace edgekit
