// Counts heap allocations, and lets them fail, in a test program that is built with allocations.cpp:
// edgekit_test(ROOM ... ${PROJECT_SOURCE_DIR}/test/support/allocations.cpp).
#pragma once

#include <cstdint>

namespace edgekit::test {

/// Whether this build counts all allocations and can let them fail. Under ThreadSanitizer it is not: aligned memory
/// goes uncounted, and operator new stays the sanitizer's. `if (!complete()) GTEST_SKIP();`
bool complete() noexcept;

/// Whether malloc and aligned_alloc can fail, too: without a sanitizer.
bool malloc_fails() noexcept;

/// Allocations that this thread has made so far: operator new, malloc and its relatives, in all libraries of the
/// process. Take it before and after; a backend's share is what a wrapping Engine counts around infer().
std::uint64_t allocations() noexcept;
/// Of all threads.
std::uint64_t allocations_of_process() noexcept;

/// While it lives, this thread's allocations fail (std::bad_alloc, a null pointer) once `after` of them went well.
///
/// Under AddressSanitizer only operator new fails, since malloc is the sanitizer's; under ThreadSanitizer nothing does.
class FailAllocations {
 public:
  explicit FailAllocations(std::uint64_t after) noexcept;
  ~FailAllocations();
  FailAllocations(const FailAllocations&) = delete;
  FailAllocations& operator=(const FailAllocations&) = delete;

  /// Whether one has failed: once `after` is beyond the last allocation, none does, and a loop over it may end.
  bool happened() const noexcept;
};

}  // namespace edgekit::test
