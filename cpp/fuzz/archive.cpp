// A single .edgekit file, opened as a stranger's: all checks, and where they pass, the golden frames.
#include <cstdlib>

#include "bundle/golden.hpp"
#include "edgekit/bundle.hpp"
#include "fuzz/memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace edgekit;
  const fuzz::MemoryFile file(data, size);
  const Expected<Bundle> bundle = Bundle::open(file.path());
  if (!bundle) {
    if (bundle.error().message.empty()) std::abort();
    return 0;
  }
  (void)Golden::of(*bundle);
  (void)GoldenFrames::read(*bundle);
  return 0;
}
