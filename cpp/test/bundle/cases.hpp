// The bundles that cases/bundles.py wrote.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "support/scratch.hpp"

namespace edgekit::test {

inline std::filesystem::path case_folder() { return std::filesystem::path(EDGEKIT_CASES) / "bundles"; }

inline const nlohmann::json& cases() {
  static const nlohmann::json document = nlohmann::json::parse(std::ifstream(case_folder() / "cases.json"));
  return document;
}

inline std::string content_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_file(const std::filesystem::path& file, const std::string& content) {
  std::ofstream(file, std::ios::binary) << content;
}

}  // namespace edgekit::test
