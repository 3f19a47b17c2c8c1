// The bundles that cases/bundles.py wrote.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace edgekit::test {

inline std::filesystem::path case_folder() { return std::filesystem::path(EDGEKIT_CASES) / "bundles"; }

inline const nlohmann::json& cases() {
  static const nlohmann::json document = nlohmann::json::parse(std::ifstream(case_folder() / "cases.json"));
  return document;
}

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

inline std::string content_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_file(const std::filesystem::path& file, const std::string& content) {
  std::ofstream(file, std::ios::binary) << content;
}

}  // namespace edgekit::test
