// A file in memory, under a path that any library opens.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace edgekit::fuzz {

class MemoryFile {
 public:
  MemoryFile(const std::uint8_t* data, std::size_t size) : handle_(memfd_create("fuzz", MFD_CLOEXEC)) {
    if (handle_ < 0 || write(handle_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~MemoryFile() { close(handle_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(handle_); }

 private:
  int handle_;
};

}  // namespace edgekit::fuzz
