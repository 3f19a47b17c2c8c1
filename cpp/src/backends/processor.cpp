#include "backends/processor.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <set>

namespace edgekit {
namespace {

constexpr std::array<const char*, 7> decisive{"avx2",     "avx512f", "avx512_vnni", "avx_vnni",
                                              "amx_int8", "asimddp", "i8mm"};

}  // namespace

std::span<const char* const> decisive_sets() noexcept { return decisive; }

std::vector<std::string> instruction_sets(std::span<const char* const> sets) {
  std::ifstream file("/proc/cpuinfo");
  std::set<std::string> flags;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    for (std::size_t start = 0; start < line.size();) {
      const std::size_t end = std::min(line.find(' ', start), line.size());
      flags.insert(line.substr(start, end - start));
      start = end + 1;
    }
  }
  std::vector<std::string> found;
  std::copy_if(sets.begin(), sets.end(), std::back_inserter(found),
               [&flags](const char* name) { return flags.contains(name); });
  return found;
}

std::string machine() {
  utsname facts{};
  return uname(&facts) == 0 ? facts.machine : "";
}

std::optional<std::string> int8_products() {
  const std::vector<std::string> sets = instruction_sets(decisive);
  const bool fused =
      std::any_of(sets.begin(), sets.end(), [](const std::string& name) { return name.ends_with("_vnni"); });
  return machine() == "x86_64" && !fused ? std::optional<std::string>("u8u8") : std::nullopt;
}

}  // namespace edgekit
