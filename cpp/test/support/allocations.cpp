#include "support/allocations.hpp"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <limits>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define EDGEKIT_SANITIZED 1
#elif defined(__SANITIZE_THREAD__)
#define EDGEKIT_SANITIZED 1
#define EDGEKIT_KEEP_NEW 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EDGEKIT_SANITIZED 1
#elif __has_feature(thread_sanitizer)
#define EDGEKIT_SANITIZED 1
#define EDGEKIT_KEEP_NEW 1
#endif
#endif

#ifdef EDGEKIT_SANITIZED
#include <sanitizer/allocator_interface.h>
#endif

namespace {

constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

// Plain values without constructors: they are used before main and in threads that nobody of this program started.
thread_local std::uint64_t made = 0;
thread_local std::uint64_t left = never;
thread_local bool failed = false;
std::atomic<std::uint64_t> made_by_all{0};

void count() noexcept {
  ++made;
  made_by_all.fetch_add(1, std::memory_order_relaxed);
}

/// Whether this allocation may go on.
[[maybe_unused]] bool allowed() noexcept {
  if (left == never) return true;
  if (left == 0) {
    failed = true;
    return false;
  }
  --left;
  return true;
}

}  // namespace

namespace edgekit::test {

bool complete() noexcept {
#ifdef EDGEKIT_KEEP_NEW
  return false;
#else
  return true;
#endif
}

bool malloc_fails() noexcept {
#ifdef EDGEKIT_SANITIZED
  return false;
#else
  return true;
#endif
}

std::uint64_t allocations() noexcept { return made; }
std::uint64_t allocations_of_process() noexcept { return made_by_all.load(std::memory_order_relaxed); }

FailAllocations::FailAllocations(std::uint64_t after) noexcept {
  failed = false;
  left = after;
}
FailAllocations::~FailAllocations() { left = never; }
bool FailAllocations::happened() const noexcept { return failed; }

}  // namespace edgekit::test

#ifdef EDGEKIT_SANITIZED

// The sanitizer's own malloc stays; it tells of each allocation.
namespace {
[[maybe_unused]] const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { count(); }, [](const volatile void*) {});
}  // namespace

#ifndef EDGEKIT_KEEP_NEW  // ThreadSanitizer brings an operator new that does not step aside

namespace {

void* made_by_new(std::size_t bytes, std::size_t alignment) noexcept {
  if (!allowed()) return nullptr;
  if (alignment == 0) return std::malloc(bytes == 0 ? 1 : bytes);
  return std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
}

void* made_or_thrown(std::size_t bytes, std::size_t alignment) {
  void* memory = made_by_new(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) { return made_or_thrown(bytes, 0); }
void* operator new[](std::size_t bytes) { return made_or_thrown(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return made_or_thrown(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return made_or_thrown(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return made_by_new(bytes, 0); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return made_by_new(bytes, 0); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

#endif

#else

// glibc lets a program bring its own malloc and keeps its own under these names; operator new comes here too.
extern "C" {

void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t number, std::size_t bytes);
void* __libc_realloc(void* memory, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) {
  count();
  return allowed() ? __libc_malloc(bytes) : nullptr;
}

void* calloc(std::size_t number, std::size_t bytes) {
  count();
  return allowed() ? __libc_calloc(number, bytes) : nullptr;
}

void* realloc(void* memory, std::size_t bytes) {
  count();
  return allowed() ? __libc_realloc(memory, bytes) : nullptr;
}

void* memalign(std::size_t alignment, std::size_t bytes) {
  count();
  return allowed() ? __libc_memalign(alignment, bytes) : nullptr;
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  void* made_here = memalign(alignment, bytes);
  if (made_here == nullptr) return ENOMEM;
  *memory = made_here;
  return 0;
}

}  // extern "C"

#endif
