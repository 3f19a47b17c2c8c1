#include "level.hpp"

#include <cstdlib>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#elif defined(__x86_64__)
#include <cpuid.h>
#endif

namespace edgekit::ops {
#if defined(__x86_64__)
namespace {

/// AVX-VNNI: leaf 7, subleaf 1, EAX bit 4; not every compiler knows it by name.
bool has_avx_vnni() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 4)) != 0;
}

}  // namespace
#endif

bool has(Level level) noexcept {
#if defined(__x86_64__)
  switch (level) {
    case Level::scalar:
      return true;
    case Level::avx2:
      return __builtin_cpu_supports("avx2");
    case Level::avx_vnni:
      return has(Level::avx2) && has_avx_vnni();
    case Level::avx512_vnni:
      return has(Level::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    case Level::avx512_vbmi:
      return has(Level::avx512_vnni) && __builtin_cpu_supports("avx512vbmi");
    case Level::neon:
    case Level::neon_dot:
      return false;
  }
  return false;
#elif defined(__aarch64__)
  if (level == Level::neon_dot) return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
  return level == Level::scalar || level == Level::neon;
#else
  return level == Level::scalar;
#endif
}

Level chosen() noexcept {
  Level most = Level::neon_dot;
  if (const char* named = std::getenv("EDGEKIT_OPS_LEVEL")) {
    for (std::size_t index = 0; index < level_names.size(); ++index) {
      if (level_names[index] == named) most = static_cast<Level>(index);
    }
  }
  Level found = Level::scalar;
  for (const Level level :
       {Level::avx2, Level::avx_vnni, Level::avx512_vnni, Level::avx512_vbmi, Level::neon, Level::neon_dot}) {
    if (level <= most && has(level)) found = level;
  }
  return found;
}

}  // namespace edgekit::ops
