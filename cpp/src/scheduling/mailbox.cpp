#include "scheduling/mailbox.hpp"

#include <cassert>
#include <cstring>
#include <utility>

namespace edgekit {
namespace {

std::int64_t rows_of(const Frame& frame) noexcept {
  const bool colour_below = frame.encoding == Encoding::nv12 || frame.encoding == Encoding::nv21;
  return colour_below ? static_cast<std::int64_t>(frame.height) / 2 * 3 : frame.height;
}

}  // namespace

Status Mailbox::reserve(std::size_t bytes) {
  for (Slot& slot : slots_) {
    if (Status made = slot.memory.resize({static_cast<std::int64_t>(bytes)}, DType::uint8); !made) return made;
    // Touched once, so that the first frames do not wait for the system's pages.
    std::memset(slot.memory.data(), 0, bytes);
  }
  return {};
}

Slot& Mailbox::fill() {
  assert(filling_ == none);
  for (filling_ = 0; filling_ == waiting_ || filling_ == running_;) ++filling_;
  return slots_[filling_];
}

void Mailbox::cancel() { filling_ = none; }

Release Mailbox::emptied(std::uint8_t& role) {
  if (role == none) return {};
  Slot& slot = slots_[role];
  role = none;
  return std::exchange(slot.release, {});
}

Release Mailbox::put() {
  const Release release = emptied(waiting_);
  waiting_ = std::exchange(filling_, none);
  return release;
}

Release Mailbox::drop() { return emptied(waiting_); }

Slot& Mailbox::take() {
  assert(running_ == none && waiting_ != none);
  running_ = std::exchange(waiting_, none);
  return slots_[running_];
}

Release Mailbox::done() { return emptied(running_); }

std::size_t packed_bytes(const Frame& frame) noexcept {
  return static_cast<std::size_t>(rows_of(frame)) * static_cast<std::size_t>(frame.row_bytes());
}

Status pack(const Frame& frame, Slot& slot) {
  const std::size_t bytes = packed_bytes(frame);
  const auto row = static_cast<std::size_t>(frame.row_bytes());
  if (Status made = slot.memory.resize({static_cast<std::int64_t>(bytes)}, DType::uint8); !made) return made;
  auto* to = static_cast<std::uint8_t*>(slot.memory.data());
  if (frame.stride_or_row() == frame.row_bytes()) {
    std::memcpy(to, frame.data, bytes);
  } else {
    const std::uint8_t* from = frame.data;
    for (std::int64_t at = 0; at < rows_of(frame); ++at, to += row, from += frame.stride) std::memcpy(to, from, row);
  }
  slot.frame = frame;
  slot.frame.data = static_cast<const std::uint8_t*>(slot.memory.data());
  slot.frame.bytes = bytes;
  slot.frame.stride = 0;
  return {};
}

}  // namespace edgekit
