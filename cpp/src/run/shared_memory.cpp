#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "edgekit/ring.h"
#include "run/inputs.hpp"

namespace edgekit::run {
namespace {

using Clock = std::chrono::steady_clock;

static_assert(sizeof(edgekit_ring) == 64 && sizeof(edgekit_ring_slot) == 64);

struct Unmap {
  std::size_t bytes = 0;
  void operator()(const void* memory) const noexcept { ::munmap(const_cast<void*>(memory), bytes); }
};
using Mapping = std::unique_ptr<const void, Unmap>;

Error damaged(const std::string& name, const std::string& why) {
  return {Code::invalid_argument, "shm:" + name + ": " + why + "; its layout is in edgekit/ring.h"};
}

/// Word by word and atomically, because the writer may overwrite the slot meanwhile; both are aligned to 8 bytes.
void copy(const void* from, void* into, std::size_t bytes) noexcept {
  const auto* words = static_cast<const std::uint64_t*>(from);
  auto* place = static_cast<unsigned char*>(into);
  while (bytes > 0) {
    const std::uint64_t word = __atomic_load_n(words++, __ATOMIC_RELAXED);
    const std::size_t part = bytes < sizeof word ? bytes : sizeof word;
    std::memcpy(place, &word, part);
    place += part;
    bytes -= part;
  }
}

class SharedMemory final : public Input {
 public:
  SharedMemory(std::string name, double patience_s, Mapping mapping, const edgekit_ring& ring)
      : name_(std::move(name)),
        patience_(patience_s),
        mapping_(std::move(mapping)),
        slots_(ring.slots),
        slot_bytes_(ring.slot_bytes),
        memory_((slot_bytes_ - sizeof(edgekit_ring_slot)) / sizeof(std::uint64_t)) {}

  Expected<bool> next(Taken& into) override {
    const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Clock::duration>(patience_);
    while (!interrupted) {
      const auto* ring = static_cast<const edgekit_ring*>(mapping_.get());
      const bool closed = __atomic_load_n(&ring->closed, __ATOMIC_ACQUIRE) != 0;  // before newest: the last one counts
      const std::uint64_t newest = __atomic_load_n(&ring->newest, __ATOMIC_ACQUIRE);
      if (newest != last_) {
        Expected<bool> taken = take(newest, into);
        if (!taken || *taken) return taken;  // else it was overwritten while it was copied: there is a newer one
      } else if (closed) {
        return false;
      }
      if (Clock::now() >= end) {
        return Error{Code::timeout, "shm:" + name_ + ": no new frame within " + std::to_string(patience_.count()) +
                                        " s; is the writer running? --patience waits longer"};
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return false;
  }

 private:
  Expected<bool> take(std::uint64_t number, Taken& into) {
    const auto* slot = reinterpret_cast<const edgekit_ring_slot*>(
        static_cast<const unsigned char*>(mapping_.get()) + sizeof(edgekit_ring) + (number - 1) % slots_ * slot_bytes_);
    if (__atomic_load_n(&slot->number, __ATOMIC_ACQUIRE) != number) return false;
    edgekit_ring_slot head;
    copy(slot, &head, sizeof head);
    const std::size_t room = memory_.size() * sizeof(std::uint64_t);
    const bool fits = head.bytes <= room;
    if (fits) copy(slot + 1, memory_.data(), head.bytes);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (__atomic_load_n(&slot->number, __ATOMIC_RELAXED) != number) return false;
    if (!fits) {
      return damaged(name_, "frame " + std::to_string(number) + " has " + std::to_string(head.bytes) +
                                " bytes, its slot " + std::to_string(room));
    }
    if (head.encoding < 0 || head.encoding > static_cast<int>(Encoding::nv21)) {
      return damaged(name_, "frame " + std::to_string(number) + " has encoding " + std::to_string(head.encoding));
    }
    into.frame = {reinterpret_cast<const std::uint8_t*>(memory_.data()),
                  head.bytes,
                  head.height,
                  head.width,
                  head.stride,
                  static_cast<Encoding>(head.encoding),
                  head.stamp_ns};
    into.id = std::to_string(number);
    into.skipped = last_ != 0 && number > last_ ? number - last_ - 1 : 0;
    last_ = number;
    return true;
  }

  std::string name_;
  std::chrono::duration<double> patience_;
  Mapping mapping_;
  std::uint64_t slots_;
  std::uint64_t slot_bytes_;
  std::vector<std::uint64_t> memory_;
  std::uint64_t last_ = 0;
};

Status check(const std::string& name, const edgekit_ring& ring, std::uint64_t bytes) {
  if (ring.magic != EDGEKIT_RING_MAGIC) return damaged(name, "no ring of frames (magic)");
  if (ring.version != EDGEKIT_RING_VERSION) {
    return damaged(name, "a ring of version " + std::to_string(ring.version) + ", expected 1");
  }
  const bool sound = ring.slots >= 2 && ring.slots <= EDGEKIT_RING_MOST_SLOTS && ring.slot_bytes % 64 == 0 &&
                     ring.slot_bytes > sizeof(edgekit_ring_slot) && ring.slot_bytes < std::uint64_t{1} << 32;
  if (!sound || edgekit_ring_bytes(ring.slots, ring.slot_bytes) > bytes) {
    return damaged(name, std::to_string(ring.slots) + " slots of " + std::to_string(ring.slot_bytes) +
                             " bytes do not fit its " + std::to_string(bytes) + " bytes");
  }
  return {};
}

}  // namespace

Expected<std::unique_ptr<Input>> shared_memory(const std::string& name, double patience_s) {
  const int descriptor = ::shm_open(name.c_str(), O_RDONLY | O_CLOEXEC, 0);
  if (descriptor < 0) return damaged(name, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat found{};
  void* memory = MAP_FAILED;
  if (::fstat(descriptor, &found) == 0 && found.st_size >= static_cast<off_t>(sizeof(edgekit_ring))) {
    memory = ::mmap(nullptr, static_cast<std::size_t>(found.st_size), PROT_READ, MAP_SHARED, descriptor, 0);
  }
  ::close(descriptor);
  if (memory == MAP_FAILED) return damaged(name, "too small, or cannot be mapped");
  Mapping mapping(memory, Unmap{static_cast<std::size_t>(found.st_size)});
  edgekit_ring ring;
  copy(memory, &ring, sizeof ring);
  if (Status sound = check(name, ring, static_cast<std::uint64_t>(found.st_size)); !sound) return sound.error();
  return std::unique_ptr<Input>(std::make_unique<SharedMemory>(name, patience_s, std::move(mapping), ring));
}

}  // namespace edgekit::run
