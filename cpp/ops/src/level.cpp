#include "level.hpp"

#include <cstdlib>

namespace edgekit::ops {

bool has(Level level) noexcept {
#if defined(__x86_64__)
  switch (level) {
    case Level::scalar:
      return true;
    case Level::avx2:
      return __builtin_cpu_supports("avx2");
    case Level::avx512_vnni:
      return has(Level::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    case Level::avx512_vbmi:
      return has(Level::avx512_vnni) && __builtin_cpu_supports("avx512vbmi");
    case Level::neon:
      return false;
  }
  return false;
#elif defined(__aarch64__)
  return level == Level::scalar || level == Level::neon;
#else
  return level == Level::scalar;
#endif
}

Level chosen() noexcept {
  Level most = Level::neon;
  if (const char* named = std::getenv("EDGEKIT_OPS_LEVEL")) {
    for (std::size_t index = 0; index < level_names.size(); ++index) {
      if (level_names[index] == named) most = static_cast<Level>(index);
    }
  }
  Level found = Level::scalar;
  for (const Level level : {Level::avx2, Level::avx512_vnni, Level::avx512_vbmi, Level::neon}) {
    if (level <= most && has(level)) found = level;
  }
  return found;
}

}  // namespace edgekit::ops
