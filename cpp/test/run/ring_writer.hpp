// The writer's side of edgekit/ring.h, for tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <span>
#include <string>

#include "edgekit/frame.hpp"
#include "edgekit/ring.h"

namespace edgekit::run {

/// Makes a ring of its own name, and takes it away at the end.
class RingWriter {
 public:
  RingWriter(std::uint32_t slots, std::uint64_t pixel_bytes)
      : name_("/edgekit-test-" + std::to_string(::getpid()) + "-" + std::to_string(counter()++)),
        slot_bytes_((sizeof(edgekit_ring_slot) + pixel_bytes + 63) / 64 * 64),
        bytes_(edgekit_ring_bytes(slots, slot_bytes_)) {
    const int descriptor = ::shm_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    EXPECT_GE(descriptor, 0);
    EXPECT_EQ(::ftruncate(descriptor, static_cast<off_t>(bytes_)), 0);
    memory_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    ::close(descriptor);
    EXPECT_NE(memory_, MAP_FAILED);
    ring()->version = EDGEKIT_RING_VERSION;
    ring()->slots = slots;
    ring()->slot_bytes = slot_bytes_;
    __atomic_store_n(&ring()->magic, EDGEKIT_RING_MAGIC, __ATOMIC_RELEASE);
  }
  RingWriter(const RingWriter&) = delete;
  RingWriter& operator=(const RingWriter&) = delete;
  ~RingWriter() {
    ::munmap(memory_, bytes_);
    ::shm_unlink(name_.c_str());
  }

  const std::string& name() const { return name_; }
  edgekit_ring* ring() { return static_cast<edgekit_ring*>(memory_); }
  edgekit_ring_slot* slot(std::uint64_t number) {
    return reinterpret_cast<edgekit_ring_slot*>(static_cast<unsigned char*>(memory_) + sizeof(edgekit_ring) +
                                                (number - 1) % ring()->slots * slot_bytes_);
  }

  void write(const Frame& frame) {
    const std::uint64_t number = ring()->newest + 1;
    edgekit_ring_slot* place = slot(number);
    __atomic_store_n(&place->number, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    place->stamp_ns = frame.stamp_ns;
    place->stride = frame.stride;
    place->bytes = frame.bytes;
    place->height = frame.height;
    place->width = frame.width;
    place->encoding = static_cast<std::int32_t>(frame.encoding);
    std::memcpy(place + 1, frame.data, frame.bytes);
    __atomic_store_n(&place->number, number, __ATOMIC_RELEASE);
    __atomic_store_n(&ring()->newest, number, __ATOMIC_RELEASE);
  }

  void close() { __atomic_store_n(&ring()->closed, 1, __ATOMIC_RELEASE); }

 private:
  static int& counter() {
    static int made = 0;
    return made;
  }

  std::string name_;
  std::uint64_t slot_bytes_;
  std::uint64_t bytes_;
  void* memory_ = nullptr;
};

}  // namespace edgekit::run
