// Folders of a test's own: ctest runs each test in a process, and many of them at once.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace edgekit::test {

/// A folder of a test's own, removed with it.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "edgekit-test-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::filesystem::path& path() const { return path_; }
  bool is_empty() const { return std::filesystem::is_empty(path_); }

 private:
  std::filesystem::path path_;
};

/// Where temporary folders of this process go while it lives.
class OwnTemporaryFolder : public Scratch {
 public:
  OwnTemporaryFolder() { setenv("TMPDIR", path().c_str(), 1); }
  ~OwnTemporaryFolder() { unsetenv("TMPDIR"); }
};

}  // namespace edgekit::test
