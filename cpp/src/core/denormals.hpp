// Denormal numbers count as zero while an object of this lives: arithmetic on them is up to a hundred times slower, and
// networks trained with weight decay hold some. ONNX Runtime's own switch does not reach the thread that asks.
//
// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 10.2.3 (MXCSR); Arm Architecture Reference
// Manual, FPCR.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace edgekit {

class FlushedDenormals {
 public:
  FlushedDenormals() noexcept : before_(read()) { write(before_ | bits); }
  ~FlushedDenormals() { write(before_); }
  FlushedDenormals(const FlushedDenormals&) = delete;
  FlushedDenormals& operator=(const FlushedDenormals&) = delete;

 private:
#if defined(__x86_64__)
  using Register = std::uint32_t;
  static constexpr Register bits = 0x8040;  // FTZ and DAZ
  static Register read() noexcept { return _mm_getcsr(); }
  static void write(Register value) noexcept { _mm_setcsr(value); }
#elif defined(__aarch64__)
  using Register = std::uint64_t;
  static constexpr Register bits = std::uint64_t{1} << 24;  // FZ
  static Register read() noexcept {
    Register value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void write(Register value) noexcept { __asm__ volatile("msr fpcr, %0" ::"r"(value)); }
#else
#error "edgekit runs on x86-64 and 64-bit Arm"
#endif
  Register before_;
};

}  // namespace edgekit
